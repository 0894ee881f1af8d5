/* The attributes of the operator PyramidRoiAlign: read from what a parser or a plan gives, and given back to a plan.
 *
 * Knows no tensor and no kernel.
 */
#ifndef GPT4ROI_PLUGIN_ATTRIBUTES_H
#define GPT4ROI_PLUGIN_ATTRIBUTES_H

#include <NvInferRuntime.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

#include "roi_align_job.h"

namespace gpt4roi
{

constexpr const char* kPluginName = "PyramidRoiAlign";
constexpr const char* kPluginVersion = "1";
constexpr const char* kPluginNamespace = "gpt4roi";
/* Of what a plan keeps. A library that reads other attributes, or computes other numbers from them, counts on. */
constexpr std::int32_t kSerializedVersion = 1;

/* What is said about attributes or tensors that cannot be used. */
struct Message
{
    char text[256];
};

/* `n_levels` scales: cells of a level in one unit of the boxes, finest level first. */
struct Attributes
{
    std::int32_t output_side;
    std::int32_t n_levels;
    float scales[kMaxLevels];
};

/* Reads one number of the type that a parser makes of an ONNX integer. */
inline bool read_whole(const nvinfer1::PluginField& field, std::int32_t& number, Message& message)
{
    if (field.data == nullptr || field.length != 1 || field.type != nvinfer1::PluginFieldType::kINT32)
    {
        std::snprintf(message.text, sizeof message.text, "%s: %s has to be one 32-bit integer", kPluginName, field.name);
        return false;
    }
    std::memcpy(&number, field.data, sizeof number);
    return true;
}

inline bool read_scales(const nvinfer1::PluginField& field, Attributes& attributes, Message& message)
{
    if (field.data == nullptr || field.type != nvinfer1::PluginFieldType::kFLOAT32 || field.length < 1
        || field.length > kMaxLevels)
    {
        std::snprintf(message.text, sizeof message.text,
            "%s: spatial_scales has to hold 1 to %d float32, one a level; it holds %d", kPluginName, kMaxLevels,
            static_cast<int>(field.length));
        return false;
    }
    attributes.n_levels = field.length;
    std::memcpy(attributes.scales, field.data, sizeof(float) * static_cast<std::size_t>(field.length));
    for (int level = 0; level < attributes.n_levels; ++level)
    {
        const float scale = attributes.scales[level];
        if (!(scale > 0.0f && scale < kMaxScale))
        {
            std::snprintf(message.text, sizeof message.text,
                "%s: spatial_scales has to hold positive numbers; number %d is %g", kPluginName, level,
                static_cast<double>(scale));
            return false;
        }
    }
    return true;
}

/* All numbers of the fields that are there; -1 and no levels where one is not. */
struct Given
{
    Attributes attributes{-1, 0, {}};
    std::int32_t sampling_ratio = -1;
    std::int32_t serialized_version = -1;
};

inline bool read_field(const nvinfer1::PluginField& field, Given& given, Message& message)
{
    if (std::strcmp(field.name, "output_side") == 0)
    {
        return read_whole(field, given.attributes.output_side, message);
    }
    if (std::strcmp(field.name, "sampling_ratio") == 0)
    {
        return read_whole(field, given.sampling_ratio, message);
    }
    if (std::strcmp(field.name, "serialized_version") == 0)
    {
        return read_whole(field, given.serialized_version, message);
    }
    if (std::strcmp(field.name, "spatial_scales") == 0)
    {
        return read_scales(field, given.attributes, message);
    }
    return true; /* a parser may hand on what it needs itself, such as the plugin's version */
}

/* Whether all that is needed was there and can be used; if not, `message` says why. `from_plan`: the fields are what
 * kept_fields gave, perhaps those of another version of this library. */
inline bool check(const Given& given, bool from_plan, Message& message)
{
    if (from_plan && given.serialized_version != kSerializedVersion)
    {
        std::snprintf(message.text, sizeof message.text,
            "%s: the plan was built with serialized version %d of this plugin, and this library reads %d; build the "
            "plan again",
            kPluginName, static_cast<int>(given.serialized_version), static_cast<int>(kSerializedVersion));
        return false;
    }
    if (given.sampling_ratio != kSamples)
    {
        std::snprintf(message.text, sizeof message.text, "%s: sampling_ratio has to be %d, not %d", kPluginName,
            kSamples, static_cast<int>(given.sampling_ratio));
        return false;
    }
    if (given.attributes.output_side < 1 || given.attributes.output_side > kMaxSide)
    {
        std::snprintf(message.text, sizeof message.text, "%s: output_side has to be 1 to %d, not %d", kPluginName,
            kMaxSide, static_cast<int>(given.attributes.output_side));
        return false;
    }
    if (given.attributes.n_levels < 1)
    {
        std::snprintf(message.text, sizeof message.text, "%s: spatial_scales is missing", kPluginName);
        return false;
    }
    return true;
}

inline bool read_attributes(
    const nvinfer1::PluginFieldCollection* fields, bool from_plan, Attributes& attributes, Message& message)
{
    Given given;
    for (std::int32_t i = 0; fields != nullptr && i < fields->nbFields; ++i)
    {
        if (!read_field(fields->fields[i], given, message))
        {
            return false;
        }
    }
    attributes = given.attributes;
    return check(given, from_plan, message);
}

} // namespace gpt4roi

#endif
