/* PyramidRoiAlign for TensorRT: RoIAlign of all levels of a pyramid, as one layer and one launch.
 *
 *     inputs   levels [1, c, h, w], finest first; boxes float32 [n, 4], x1 y1 x2 y2
 *     output   [n, levels * c, output_side, output_side], of the levels' type
 *
 * Levels and output are float32, float16 or bfloat16, channels last where a cell's channels fill whole units of 16 bytes,
 * else channels first; coordinates and sums are float32 always. Knows nothing of the arithmetic.
 *
 * Written against IPluginV3, which TensorRT 10.3 (JetPack 6) to 11 and TensorRT for RTX share. The library exports
 * getCreators and setLoggerFinder and needs none of TensorRT's libraries to be linked.
 */
#include <NvInferRuntime.h>

#include <new>

#include "plugin_attributes.h"
#include "roi_align_launch.h"

namespace gpt4roi
{
namespace
{

using nvinfer1::DataType;
using nvinfer1::PluginTensorDesc;
using nvinfer1::TensorFormat;

/* TensorRT sets it once, when it loads the library. */
nvinfer1::ILoggerFinder* logger_finder = nullptr;

void report(const char* text) noexcept
{
    nvinfer1::ILogger* logger = logger_finder == nullptr ? nullptr : logger_finder->findLogger();
    if (logger != nullptr)
    {
        logger->log(nvinfer1::ILogger::Severity::kERROR, text);
    }
    else
    {
        std::fprintf(stderr, "%s\n", text);
    }
}

/* Our storage type of TensorRT's, or -1. */
int storage_of(DataType type) noexcept
{
    switch (type)
    {
    case DataType::kFLOAT: return kFloat32;
    case DataType::kHALF: return kFloat16;
    case DataType::kBF16: return kBFloat16;
    default: return -1;
    }
}

/* TensorRT's name for our layout: its formats for channels last are bound to a type. */
TensorFormat channels_last_format(DataType type) noexcept
{
    return type == DataType::kFLOAT ? TensorFormat::kHWC : TensorFormat::kHWC8;
}

bool fits_a_level(const PluginTensorDesc& level) noexcept
{
    const int storage = storage_of(level.type);
    if (storage < 0 || level.dims.nbDims != 4)
    {
        return false;
    }
    if (level.format == TensorFormat::kLINEAR)
    {
        return true;
    }
    return level.format == channels_last_format(level.type)
        && level.dims.d[1] % vector_lanes(static_cast<Storage>(storage)) == 0;
}

class PyramidRoiAlign final : public nvinfer1::IPluginV3,
                              public nvinfer1::IPluginV3OneCore,
                              public nvinfer1::IPluginV3OneBuild,
                              public nvinfer1::IPluginV3OneRuntime
{
public:
    explicit PyramidRoiAlign(const Attributes& attributes) noexcept
        : attributes_(attributes)
    {
        kept_fields_[0] = {"output_side", &attributes_.output_side, nvinfer1::PluginFieldType::kINT32, 1};
        kept_fields_[1] = {"sampling_ratio", &kKeptSamples, nvinfer1::PluginFieldType::kINT32, 1};
        kept_fields_[2] = {
            "spatial_scales", attributes_.scales, nvinfer1::PluginFieldType::kFLOAT32, attributes_.n_levels};
        kept_fields_[3] = {"serialized_version", &kSerializedVersion, nvinfer1::PluginFieldType::kINT32, 1};
        kept_ = {4, kept_fields_};
    }

    /* --- what it is --- */

    nvinfer1::IPluginCapability* getCapabilityInterface(nvinfer1::PluginCapabilityType type) noexcept override
    {
        switch (type)
        {
        case nvinfer1::PluginCapabilityType::kCORE: return static_cast<nvinfer1::IPluginV3OneCore*>(this);
        case nvinfer1::PluginCapabilityType::kBUILD: return static_cast<nvinfer1::IPluginV3OneBuild*>(this);
        case nvinfer1::PluginCapabilityType::kRUNTIME: return static_cast<nvinfer1::IPluginV3OneRuntime*>(this);
        }
        return nullptr;
    }

    nvinfer1::IPluginV3* clone() noexcept override
    {
        return new (std::nothrow) PyramidRoiAlign(attributes_);
    }

    const char* getPluginName() const noexcept override { return kPluginName; }
    const char* getPluginVersion() const noexcept override { return kPluginVersion; }
    const char* getPluginNamespace() const noexcept override { return kPluginNamespace; }

    /* --- while an engine is built --- */

    std::int32_t getNbOutputs() const noexcept override { return 1; }

    std::int32_t getOutputDataTypes(DataType* output_types, std::int32_t, const DataType* input_types,
        std::int32_t n_inputs) const noexcept override
    {
        if (!has_n_inputs(n_inputs))
        {
            return -1;
        }
        for (std::int32_t level = 0; level < attributes_.n_levels; ++level)
        {
            if (storage_of(input_types[level]) < 0 || input_types[level] != input_types[0])
            {
                report("PyramidRoiAlign: the levels have to be of one type: float32, float16 or bfloat16");
                return -1;
            }
        }
        if (input_types[attributes_.n_levels] != DataType::kFLOAT)
        {
            report("PyramidRoiAlign: the boxes have to be float32, whatever the levels are");
            return -1;
        }
        output_types[0] = input_types[0];
        return 0;
    }

    std::int32_t getOutputShapes(const nvinfer1::DimsExprs* inputs, std::int32_t n_inputs, const nvinfer1::DimsExprs*,
        std::int32_t, nvinfer1::DimsExprs* outputs, std::int32_t, nvinfer1::IExprBuilder& builder) noexcept override
    {
        if (!has_n_inputs(n_inputs) || !has_shapes(inputs))
        {
            return -1;
        }
        outputs[0].nbDims = 4;
        outputs[0].d[0] = inputs[attributes_.n_levels].d[0];
        outputs[0].d[1] = builder.operation(
            nvinfer1::DimensionOperation::kPROD, *builder.constant(attributes_.n_levels), *inputs[0].d[1]);
        outputs[0].d[2] = builder.constant(attributes_.output_side);
        outputs[0].d[3] = builder.constant(attributes_.output_side);
        return 0;
    }

    bool supportsFormatCombination(std::int32_t position, const nvinfer1::DynamicPluginTensorDesc* tensors,
        std::int32_t n_inputs, std::int32_t) noexcept override
    {
        const PluginTensorDesc& tensor = tensors[position].desc;
        if (position == n_inputs - 1)
        {
            return tensor.type == DataType::kFLOAT && tensor.format == TensorFormat::kLINEAR;
        }
        if (position == 0)
        {
            return fits_a_level(tensor);
        }
        const PluginTensorDesc& first = tensors[0].desc;
        return tensor.type == first.type && tensor.format == first.format;
    }

    std::int32_t configurePlugin(const nvinfer1::DynamicPluginTensorDesc*, std::int32_t n_inputs,
        const nvinfer1::DynamicPluginTensorDesc*, std::int32_t) noexcept override
    {
        return has_n_inputs(n_inputs) ? 0 : -1;
    }

    /* --- while an engine runs --- */

    std::int32_t onShapeChange(
        const PluginTensorDesc* inputs, std::int32_t n_inputs, const PluginTensorDesc*, std::int32_t) noexcept override
    {
        if (!has_n_inputs(n_inputs))
        {
            return -1;
        }
        for (std::int32_t level = 0; level < attributes_.n_levels; ++level)
        {
            if (inputs[level].dims.d[0] != 1 || inputs[level].dims.d[1] != inputs[0].dims.d[1])
            {
                report("PyramidRoiAlign: every level has to be of one image, and of as many channels as the first");
                return -1;
            }
        }
        return 0;
    }

    std::int32_t enqueue(const PluginTensorDesc* descriptions, const PluginTensorDesc*, const void* const* inputs,
        void* const* outputs, void*, cudaStream_t stream) noexcept override
    {
        Job job{};
        for (std::int32_t level = 0; level < attributes_.n_levels; ++level)
        {
            const nvinfer1::Dims& dims = descriptions[level].dims;
            job.levels[level] = Level{
                inputs[level], static_cast<int>(dims.d[2]), static_cast<int>(dims.d[3]), attributes_.scales[level]};
        }
        job.boxes = static_cast<const float*>(inputs[attributes_.n_levels]);
        job.output = outputs[0];
        job.n_levels = attributes_.n_levels;
        job.n_regions = static_cast<int>(descriptions[attributes_.n_levels].dims.d[0]);
        job.channels = static_cast<int>(descriptions[0].dims.d[1]);
        job.side = attributes_.output_side;
        const Layout layout = descriptions[0].format == TensorFormat::kLINEAR ? kChannelsFirst : kChannelsLast;
        if (const char* reason = launch(job, storage_of(descriptions[0].type), layout, stream))
        {
            Message message;
            std::snprintf(message.text, sizeof message.text, "%s: %s", kPluginName, reason);
            report(message.text);
            return -1;
        }
        return 0;
    }

    nvinfer1::IPluginV3* attachToContext(nvinfer1::IPluginResourceContext*) noexcept override { return clone(); }

    const nvinfer1::PluginFieldCollection* getFieldsToSerialize() noexcept override { return &kept_; }

private:
    bool has_n_inputs(std::int32_t n_inputs) const noexcept
    {
        if (n_inputs == attributes_.n_levels + 1)
        {
            return true;
        }
        Message message;
        std::snprintf(message.text, sizeof message.text,
            "%s: spatial_scales names %d levels, so with the boxes there are %d inputs; %d were given", kPluginName,
            static_cast<int>(attributes_.n_levels), static_cast<int>(attributes_.n_levels + 1),
            static_cast<int>(n_inputs));
        report(message.text);
        return false;
    }

    bool has_shapes(const nvinfer1::DimsExprs* inputs) const noexcept
    {
        for (std::int32_t level = 0; level < attributes_.n_levels; ++level)
        {
            const nvinfer1::DimsExprs& dims = inputs[level];
            if (dims.nbDims != 4 || (dims.d[0]->isConstant() && dims.d[0]->getConstantValue() != 1))
            {
                report("PyramidRoiAlign: a level has to be [1, channels, height, width]");
                return false;
            }
        }
        const nvinfer1::DimsExprs& boxes = inputs[attributes_.n_levels];
        if (boxes.nbDims != 2 || (boxes.d[1]->isConstant() && boxes.d[1]->getConstantValue() != 4))
        {
            report("PyramidRoiAlign: the boxes have to be [regions, 4]");
            return false;
        }
        return true;
    }

    static constexpr std::int32_t kKeptSamples = kSamples;

    Attributes attributes_;
    nvinfer1::PluginField kept_fields_[4];
    nvinfer1::PluginFieldCollection kept_;
};

constexpr std::int32_t PyramidRoiAlign::kKeptSamples;

class Creator final : public nvinfer1::IPluginCreatorV3One
{
public:
    nvinfer1::IPluginV3* createPlugin(const char*, const nvinfer1::PluginFieldCollection* fields,
        nvinfer1::TensorRTPhase phase) noexcept override
    {
        Attributes attributes;
        Message message;
        if (!read_attributes(fields, phase == nvinfer1::TensorRTPhase::kRUNTIME, attributes, message))
        {
            report(message.text);
            return nullptr;
        }
        return new (std::nothrow) PyramidRoiAlign(attributes);
    }

    const nvinfer1::PluginFieldCollection* getFieldNames() noexcept override { return &known_; }

    const char* getPluginName() const noexcept override { return kPluginName; }
    const char* getPluginVersion() const noexcept override { return kPluginVersion; }
    const char* getPluginNamespace() const noexcept override { return kPluginNamespace; }

private:
    const nvinfer1::PluginField known_fields_[3] = {
        {"output_side", nullptr, nvinfer1::PluginFieldType::kINT32, 1},
        {"sampling_ratio", nullptr, nvinfer1::PluginFieldType::kINT32, 1},
        {"spatial_scales", nullptr, nvinfer1::PluginFieldType::kFLOAT32, kMaxLevels},
    };
    const nvinfer1::PluginFieldCollection known_{3, known_fields_};
};

} // namespace
} // namespace gpt4roi

#define GPT4ROI_EXPORTED extern "C" __attribute__((visibility("default")))

/* TensorRT looks for the first two by name. */
GPT4ROI_EXPORTED void setLoggerFinder(nvinfer1::ILoggerFinder* finder)
{
    gpt4roi::logger_finder = finder;
}

GPT4ROI_EXPORTED nvinfer1::IPluginCreatorInterface* const* getCreators(std::int32_t& n_creators)
{
    static gpt4roi::Creator creator;
    static nvinfer1::IPluginCreatorInterface* const creators[] = {&creator};
    n_creators = 1;
    return creators;
}

/* For whoever builds a plan: the operator's version, a dot, and that of what the plan keeps of it. */
GPT4ROI_EXPORTED const char* gpt4roi_plugin_version()
{
    static const gpt4roi::Message version = [] {
        gpt4roi::Message said;
        std::snprintf(said.text, sizeof said.text, "%s.%d", gpt4roi::kPluginVersion,
            static_cast<int>(gpt4roi::kSerializedVersion));
        return said;
    }();
    return version.text;
}
