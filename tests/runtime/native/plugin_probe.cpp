/* Does to the plugin what TensorRT does, without TensorRT: `plugin_probe LIBRARY CHECK`. Says which expectation failed. */
#include <NvInferRuntime.h>
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

using namespace nvinfer1;

#define EXPECT(condition)                                                                                              \
    do                                                                                                                 \
    {                                                                                                                  \
        if (!(condition))                                                                                              \
        {                                                                                                              \
            std::printf("line %d: %s; logged: %s\n", __LINE__, #condition, heard.text.c_str());                        \
            std::exit(1);                                                                                              \
        }                                                                                                              \
    } while (false)

namespace
{

struct Heard final : ILogger
{
    std::string text;
    void log(Severity severity, const char* message) noexcept override
    {
        text += (severity == Severity::kERROR ? "error: " : "other: ") + std::string(message) + "\n";
    }
    bool take(const char* words)
    {
        const bool found = text.find(words) != std::string::npos;
        if (found)
        {
            text.clear();
        }
        return found;
    }
} heard;

struct Finder final : ILoggerFinder
{
    ILogger* findLogger() override { return &heard; }
} finder;

/* A dimension, known or not, and what builds one. */
struct Number final : apiv::VDimensionExpr
{
    std::int64_t value = 0;
    bool isConstant() const override { return value >= 0; }
    std::int64_t getConstantValue() const override { return value; }
    bool isSizeTensor() const override { return false; }
};

struct Dimension final : IDimensionExpr
{
    Number number;
    explicit Dimension(std::int64_t value)
    {
        number.value = value;
        mImpl = &number;
    }
    ~Dimension() noexcept override = default;
};

struct Arithmetic final : apiv::VExprBuilder
{
    std::vector<std::unique_ptr<Dimension>> made;
    const IDimensionExpr* constant(std::int64_t value) override
    {
        made.push_back(std::make_unique<Dimension>(value));
        return made.back().get();
    }
    const IDimensionExpr* operation(
        DimensionOperation operation, const IDimensionExpr& first, const IDimensionExpr& second) override
    {
        EXPECT(operation == DimensionOperation::kPROD);
        const bool known = first.isConstant() && second.isConstant();
        return constant(known ? first.getConstantValue() * second.getConstantValue() : -1);
    }
    const IDimensionExpr* declareSizeTensor(std::int32_t, const IDimensionExpr&, const IDimensionExpr&) override
    {
        return nullptr;
    }
};

struct Builder final : IExprBuilder
{
    Arithmetic arithmetic;
    Builder() { mImpl = &arithmetic; }
    ~Builder() noexcept override = default;
};

IPluginCreatorV3One* creator = nullptr;

/* The attributes of a graph, each of which a check can change or leave out. */
struct Wanted
{
    std::int32_t output_side = 14;
    std::int32_t sampling_ratio = 2;
    std::vector<float> scales = {16.0f, 8.0f, 4.0f, 2.0f};
    std::vector<PluginField> fields;

    Wanted()
    {
        fields = {
            {"plugin_version", "1", PluginFieldType::kCHAR, 1},
            {"output_side", &output_side, PluginFieldType::kINT32, 1},
            {"sampling_ratio", &sampling_ratio, PluginFieldType::kINT32, 1},
            {"spatial_scales", scales.data(), PluginFieldType::kFLOAT32, 4},
        };
    }
    void point_at_scales()
    {
        fields[3].data = scales.data();
        fields[3].length = static_cast<std::int32_t>(scales.size());
    }
    IPluginV3* create(TensorRTPhase phase = TensorRTPhase::kBUILD) const
    {
        const PluginFieldCollection collection{static_cast<std::int32_t>(fields.size()), fields.data()};
        return creator->createPlugin("roi_align", &collection, phase);
    }
};

IPluginV3OneBuild* building(IPluginV3* plugin)
{
    return static_cast<IPluginV3OneBuild*>(plugin->getCapabilityInterface(PluginCapabilityType::kBUILD));
}

IPluginV3OneRuntime* running(IPluginV3* plugin)
{
    return static_cast<IPluginV3OneRuntime*>(plugin->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
}

PluginTensorDesc tensor(DataType type, TensorFormat format, std::vector<std::int64_t> sides)
{
    PluginTensorDesc description{};
    description.type = type;
    description.format = format;
    description.dims.nbDims = static_cast<std::int32_t>(sides.size());
    for (std::size_t i = 0; i < sides.size(); ++i)
    {
        description.dims.d[i] = sides[i];
    }
    return description;
}

void names()
{
    EXPECT(std::strcmp(creator->getPluginName(), "PyramidRoiAlign") == 0);
    EXPECT(std::strcmp(creator->getPluginVersion(), "1") == 0);
    EXPECT(std::strcmp(creator->getPluginNamespace(), "gpt4roi") == 0);
    EXPECT(creator->getFieldNames()->nbFields == 3);
    IPluginV3* plugin = Wanted().create();
    EXPECT(plugin != nullptr && heard.text.empty());
    auto* core = static_cast<IPluginV3OneCore*>(plugin->getCapabilityInterface(PluginCapabilityType::kCORE));
    EXPECT(std::strcmp(core->getPluginName(), "PyramidRoiAlign") == 0);
    EXPECT(std::strcmp(core->getPluginVersion(), "1") == 0);
    EXPECT(std::strcmp(core->getPluginNamespace(), "gpt4roi") == 0);
    EXPECT(building(plugin)->getNbOutputs() == 1);
    delete plugin;
}

void bad_attributes()
{
    Wanted wanted;
    for (const std::int32_t side : {0, -3, 65})
    {
        wanted.output_side = side;
        EXPECT(wanted.create() == nullptr && heard.take("error: PyramidRoiAlign: output_side has to be 1 to 64, not"));
    }
    Wanted other_ratio;
    other_ratio.sampling_ratio = 0;
    EXPECT(other_ratio.create() == nullptr && heard.take("sampling_ratio has to be 2, not 0"));
    Wanted negative;
    negative.scales[2] = -4.0f;
    EXPECT(negative.create() == nullptr && heard.take("number 2 is -4"));
    Wanted five;
    five.scales.assign(5, 1.0f);
    five.point_at_scales();
    EXPECT(five.create() == nullptr && heard.take("1 to 4 float32, one a level; it holds 5"));
    Wanted other_type;
    other_type.fields[3].type = PluginFieldType::kFLOAT64;
    EXPECT(other_type.create() == nullptr && heard.take("spatial_scales has to hold"));
    Wanted list;
    list.fields[1].length = 2;
    EXPECT(list.create() == nullptr && heard.take("output_side has to be one 32-bit integer"));
    const std::map<std::size_t, const char*> left_out{
        {1, "output_side has to be 1 to 64, not -1"}, {2, "sampling_ratio has to be 2, not -1"}, {3, "is missing"}};
    for (const auto& one : left_out)
    {
        Wanted without;
        without.fields.erase(without.fields.begin() + static_cast<std::ptrdiff_t>(one.first));
        EXPECT(without.create() == nullptr && heard.take(one.second));
    }
    EXPECT(creator->createPlugin("none", nullptr, TensorRTPhase::kBUILD) == nullptr && heard.take("sampling_ratio"));
}

void kept_in_a_plan()
{
    Wanted wanted;
    wanted.output_side = 7;
    wanted.scales = {0.5f, 0.25f};
    wanted.point_at_scales();
    IPluginV3* plugin = wanted.create();
    EXPECT(plugin != nullptr);
    IPluginV3* copy = plugin->clone();
    delete plugin; /* what a copy keeps is its own */
    const PluginFieldCollection* kept = running(copy)->getFieldsToSerialize();
    EXPECT(kept->nbFields == 4);
    IPluginV3* loaded = creator->createPlugin("again", kept, TensorRTPhase::kRUNTIME);
    EXPECT(loaded != nullptr && heard.text.empty());
    delete copy;
    const PluginFieldCollection* again = running(loaded)->getFieldsToSerialize();
    EXPECT(*static_cast<const std::int32_t*>(again->fields[0].data) == 7);
    EXPECT(again->fields[2].length == 2 && static_cast<const float*>(again->fields[2].data)[1] == 0.25f);

    std::vector<PluginField> fields(again->fields, again->fields + 4);
    const std::int32_t next = 2;
    fields[3].data = &next;
    const PluginFieldCollection newer{4, fields.data()};
    EXPECT(creator->createPlugin("newer", &newer, TensorRTPhase::kRUNTIME) == nullptr);
    EXPECT(heard.take("serialized version 2 of this plugin, and this library reads 1; build the plan again"));
    const PluginFieldCollection without{3, fields.data()};
    EXPECT(creator->createPlugin("older", &without, TensorRTPhase::kRUNTIME) == nullptr);
    EXPECT(heard.take("serialized version -1"));
    delete loaded;
}

void types()
{
    IPluginV3* plugin = Wanted().create();
    DataType output = DataType::kINT8;
    for (const DataType type : {DataType::kFLOAT, DataType::kHALF, DataType::kBF16})
    {
        const DataType inputs[] = {type, type, type, type, DataType::kFLOAT};
        EXPECT(building(plugin)->getOutputDataTypes(&output, 1, inputs, 5) == 0 && output == type);
    }
    const DataType mixed[] = {DataType::kHALF, DataType::kFLOAT, DataType::kHALF, DataType::kHALF, DataType::kFLOAT};
    EXPECT(building(plugin)->getOutputDataTypes(&output, 1, mixed, 5) != 0 && heard.take("of one type"));
    const DataType whole[] = {DataType::kINT8, DataType::kINT8, DataType::kINT8, DataType::kINT8, DataType::kFLOAT};
    EXPECT(building(plugin)->getOutputDataTypes(&output, 1, whole, 5) != 0 && heard.take("of one type"));
    const DataType half[] = {DataType::kHALF, DataType::kHALF, DataType::kHALF, DataType::kHALF, DataType::kHALF};
    EXPECT(building(plugin)->getOutputDataTypes(&output, 1, half, 5) != 0 && heard.take("boxes have to be float32"));
    EXPECT(building(plugin)->getOutputDataTypes(&output, 1, mixed, 4) != 0 && heard.take("5 inputs; 4 were given"));
    delete plugin;
}

void shapes()
{
    IPluginV3* plugin = Wanted().create();
    Builder builder;
    Dimension one(1), two(2), channels(1024), unknown(-1), four(4), side(16);
    DimsExprs inputs[5];
    for (int level = 0; level < 4; ++level)
    {
        inputs[level] = DimsExprs{4, {&one, &channels, &side, &side}};
    }
    inputs[4] = DimsExprs{2, {&unknown, &four}};
    DimsExprs output{};
    EXPECT(building(plugin)->getOutputShapes(inputs, 5, nullptr, 0, &output, 1, builder) == 0);
    EXPECT(output.nbDims == 4 && output.d[0] == &unknown && output.d[1]->getConstantValue() == 4096);
    EXPECT(output.d[2]->getConstantValue() == 14 && output.d[3]->getConstantValue() == 14);
    inputs[2].d[0] = &two;
    EXPECT(building(plugin)->getOutputShapes(inputs, 5, nullptr, 0, &output, 1, builder) != 0);
    EXPECT(heard.take("a level has to be [1, channels, height, width]"));
    inputs[2].d[0] = &one;
    inputs[4].d[1] = &two;
    EXPECT(building(plugin)->getOutputShapes(inputs, 5, nullptr, 0, &output, 1, builder) != 0);
    EXPECT(heard.take("the boxes have to be [regions, 4]"));
    delete plugin;
}

bool takes(IPluginV3* plugin, DataType type, TensorFormat format, std::int64_t channels, std::int32_t changed = -1,
    TensorFormat other = TensorFormat::kLINEAR)
{
    std::vector<DynamicPluginTensorDesc> tensors(6);
    for (int position = 0; position < 6; ++position)
    {
        const std::int64_t wide = position == 5 ? 4 * channels : channels;
        tensors[static_cast<std::size_t>(position)].desc
            = tensor(type, position == changed ? other : format, {position == 5 ? -1 : 1, wide, 16, 16});
    }
    tensors[4].desc = tensor(DataType::kFLOAT, changed == 4 ? other : TensorFormat::kLINEAR, {-1, 4});
    for (int position = 0; position < 6; ++position)
    {
        if (!building(plugin)->supportsFormatCombination(position, tensors.data(), 5, 1))
        {
            return false;
        }
    }
    return true;
}

void formats()
{
    IPluginV3* plugin = Wanted().create();
    for (const DataType type : {DataType::kFLOAT, DataType::kHALF, DataType::kBF16})
    {
        EXPECT(takes(plugin, type, TensorFormat::kLINEAR, 3));
        EXPECT(!takes(plugin, type, TensorFormat::kCHW32, 64));
    }
    EXPECT(takes(plugin, DataType::kHALF, TensorFormat::kHWC8, 1024));
    EXPECT(takes(plugin, DataType::kBF16, TensorFormat::kHWC8, 1024));
    EXPECT(takes(plugin, DataType::kFLOAT, TensorFormat::kHWC, 1024));
    EXPECT(!takes(plugin, DataType::kHALF, TensorFormat::kHWC8, 12)); /* padded, which the output would not be */
    EXPECT(!takes(plugin, DataType::kFLOAT, TensorFormat::kHWC, 6));
    EXPECT(!takes(plugin, DataType::kFLOAT, TensorFormat::kHWC8, 64));
    EXPECT(!takes(plugin, DataType::kINT8, TensorFormat::kLINEAR, 64));
    EXPECT(!takes(plugin, DataType::kHALF, TensorFormat::kHWC8, 64, 2)); /* a level apart */
    EXPECT(!takes(plugin, DataType::kHALF, TensorFormat::kHWC8, 64, 5)); /* the output apart */
    EXPECT(!takes(plugin, DataType::kHALF, TensorFormat::kHWC8, 64, 4, TensorFormat::kHWC8)); /* boxes */
    delete plugin;
}

void runs()
{
    Wanted wanted;
    wanted.output_side = 2;
    wanted.scales = {4.0f, 2.0f};
    wanted.point_at_scales();
    IPluginV3* plugin = wanted.create();
    IPluginV3* attached = running(plugin)->attachToContext(nullptr);
    /* Each map holds its number everywhere but in the outermost channel, which has the cell's column. */
    alignas(16) float fine[16 * 4], coarse[4 * 4], result[2 * 2 * 2 * 8];
    for (int cell = 0; cell < 16; ++cell)
    {
        for (int channel = 0; channel < 4; ++channel)
        {
            fine[cell * 4 + channel] = channel == 3 ? static_cast<float>(cell % 4) : 10.0f;
            coarse[cell / 4 * 4 + channel] = 20.0f;
        }
    }
    const float boxes[8] = {0.25f, 0.25f, 0.75f, 0.75f, 0.0f, 0.0f, 1.0f, 1.0f};
    const TensorFormat hwc = TensorFormat::kHWC;
    const PluginTensorDesc inputs[3] = {tensor(DataType::kFLOAT, hwc, {1, 4, 4, 4}),
        tensor(DataType::kFLOAT, hwc, {1, 4, 2, 2}), tensor(DataType::kFLOAT, TensorFormat::kLINEAR, {2, 4})};
    const PluginTensorDesc output = tensor(DataType::kFLOAT, hwc, {2, 8, 2, 2});
    const void* read[3] = {fine, coarse, boxes};
    void* written[1] = {result};
    EXPECT(running(attached)->onShapeChange(inputs, 3, &output, 1) == 0);
    EXPECT(running(attached)->enqueue(inputs, &output, read, written, nullptr, nullptr) == 0);
    /* [region, row, column, level and channel] */
    EXPECT(result[0] == 10.0f && result[4] == 20.0f && result[7] == 20.0f);
    EXPECT(result[3] == 1.0f && result[8 + 3] == 2.0f);
    EXPECT(result[32 + 3] == 0.5f && result[32 + 8 + 3] == 2.5f && result[63] == 20.0f);

    const PluginTensorDesc two_images[3]
        = {inputs[0], tensor(DataType::kFLOAT, hwc, {2, 4, 2, 2}), inputs[2]};
    EXPECT(running(attached)->onShapeChange(two_images, 3, &output, 1) != 0 && heard.take("of one image"));
    read[0] = fine + 1;
    EXPECT(running(attached)->enqueue(inputs, &output, read, written, nullptr, nullptr) != 0);
    EXPECT(heard.take("error: PyramidRoiAlign: with channels last, a level begins at a multiple of 16 bytes"));
    delete attached;
    delete plugin;
}

} // namespace

int main(int n_words, char** words)
{
    const std::map<std::string, void (*)()> checks{{"names", names}, {"bad_attributes", bad_attributes},
        {"kept_in_a_plan", kept_in_a_plan}, {"types", types}, {"shapes", shapes}, {"formats", formats}, {"runs", runs}};
    void* library = n_words == 3 ? dlopen(words[1], RTLD_NOW | RTLD_LOCAL) : nullptr;
    if (library == nullptr || checks.count(words[2]) == 0)
    {
        std::printf("cannot load the library, or no such check: %s\n", dlerror());
        return 2;
    }
    using SetLoggerFinder = void (*)(ILoggerFinder*);
    using GetCreators = IPluginCreatorInterface* const* (*)(std::int32_t&);
    const auto set_logger_finder = reinterpret_cast<SetLoggerFinder>(dlsym(library, "setLoggerFinder"));
    const auto get_creators = reinterpret_cast<GetCreators>(dlsym(library, "getCreators"));
    EXPECT(set_logger_finder != nullptr && get_creators != nullptr);
    set_logger_finder(&finder);
    std::int32_t n_creators = 0;
    IPluginCreatorInterface* const* creators = get_creators(n_creators);
    EXPECT(n_creators == 1);
    EXPECT(std::strcmp(creators[0]->getInterfaceInfo().kind, "PLUGIN CREATOR_V3ONE") == 0);
    creator = static_cast<IPluginCreatorV3One*>(creators[0]);
    checks.at(words[2])();
    EXPECT(heard.text.empty());
    return 0;
}
