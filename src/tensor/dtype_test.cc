#include "kilter/dtype.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace kilter {
namespace {

TEST(DType, HasOneRowForEachWithDistinctNames) {
  std::set<std::string_view> names, safetensors, torch, storages, numpy;
  const auto is_new = [](std::set<std::string_view>& seen, std::string_view name) {
    return name.empty() || seen.insert(name).second;
  };
  for (const DTypeRow& row : dtype_table()) {
    EXPECT_EQ(&dtype_row(row.dtype), &row);
    EXPECT_FALSE(row.name.empty());
    EXPECT_TRUE(is_new(names, row.name)) << row.name;
    EXPECT_TRUE(is_new(safetensors, row.safetensors)) << row.safetensors;
    EXPECT_TRUE(is_new(torch, row.torch)) << row.torch;
    EXPECT_TRUE(is_new(storages, row.torch_storage)) << row.torch_storage;
    EXPECT_TRUE(is_new(numpy, row.numpy)) << row.numpy;
  }
  EXPECT_EQ(names.size(), kDTypeCount);
}

TEST(DType, IsFoundByEachOfItsNames) {
  for (const DTypeRow& row : dtype_table()) {
    EXPECT_EQ(dtype_from_name(row.name), row.dtype);
    if (!row.safetensors.empty()) {
      EXPECT_EQ(dtype_from_safetensors(row.safetensors), row.dtype);
    }
    if (!row.torch.empty()) {
      EXPECT_EQ(dtype_from_torch(row.torch), row.dtype);
    }
    if (!row.torch_storage.empty()) {
      EXPECT_EQ(dtype_from_torch_storage(row.torch_storage), row.dtype);
    }
  }
}

TEST(DType, IsNotFoundByOtherNames) {
  for (const char* name : {"", "F", "f32 ", "FLOAT", "zzz", "!"}) {
    EXPECT_FALSE(dtype_from_name(name)) << name;
    EXPECT_FALSE(dtype_from_safetensors(name)) << name;
    EXPECT_FALSE(dtype_from_torch(name)) << name;
    EXPECT_FALSE(dtype_from_torch_storage(name)) << name;
  }
  EXPECT_FALSE(dtype_from_safetensors("f32"));
  EXPECT_FALSE(dtype_from_torch("Float"));
}

TEST(DType, CoversEveryDTypeOfSafetensors) {
  const std::set<std::string_view> expected = {
      "BOOL",    "F4",          "F6_E2M3",     "F6_E3M2", "U8",  "I8",  "F8_E5M2", "F8_E4M3",
      "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I16",     "U16", "F16", "BF16",    "I32",
      "U32",     "F32",         "C64",         "F64",     "I64", "U64"};
  std::set<std::string_view> found;
  for (const DTypeRow& row : dtype_table()) {
    if (!row.safetensors.empty()) found.insert(row.safetensors);
  }
  EXPECT_EQ(found, expected);
}

// As torch 2.15 lists them: dir(torch) and torch.storage._dtype_to_storage_type_map().
TEST(DType, CoversEveryDTypeAndStorageOfTorch) {
  for (const char* name : {"bcomplex32",
                           "bfloat16",
                           "bit",
                           "bits16",
                           "bits1x8",
                           "bits2x4",
                           "bits4x2",
                           "bits8",
                           "bool",
                           "cdouble",
                           "cfloat",
                           "chalf",
                           "complex128",
                           "complex32",
                           "complex64",
                           "double",
                           "float",
                           "float16",
                           "float32",
                           "float4_e2m1fn_x2",
                           "float64",
                           "float8_e4m3fn",
                           "float8_e4m3fnuz",
                           "float8_e5m2",
                           "float8_e5m2fnuz",
                           "float8_e8m0fnu",
                           "half",
                           "int",
                           "int1",
                           "int16",
                           "int2",
                           "int3",
                           "int32",
                           "int4",
                           "int5",
                           "int6",
                           "int64",
                           "int7",
                           "int8",
                           "long",
                           "qint32",
                           "qint8",
                           "quint2x4",
                           "quint4x2",
                           "quint8",
                           "short",
                           "uint1",
                           "uint16",
                           "uint2",
                           "uint3",
                           "uint32",
                           "uint4",
                           "uint5",
                           "uint6",
                           "uint64",
                           "uint7",
                           "uint8"}) {
    EXPECT_TRUE(dtype_from_torch(name)) << name;
  }
  for (const char* name :
       {"BFloat16Storage", "BoolStorage", "ByteStorage", "CharStorage", "ComplexDoubleStorage",
        "ComplexFloatStorage", "DoubleStorage", "FloatStorage", "HalfStorage", "IntStorage",
        "LongStorage", "QInt32Storage", "QInt8Storage", "QUInt2x4Storage", "QUInt4x2Storage",
        "QUInt8Storage", "ShortStorage"}) {
    EXPECT_TRUE(dtype_from_torch_storage(name)) << name;
  }
}

TEST(DType, SwapsNoMoreThanAnElementAndOnlyWholeUnits) {
  for (const DTypeRow& row : dtype_table()) {
    ASSERT_GE(row.swap_bytes, 1) << row.name;
    if (row.swap_bytes > 1) {
      EXPECT_EQ(row.bits % (row.swap_bytes * 8), 0) << row.name;
    }
    if (row.kind == DTypeKind::kComplex) {
      EXPECT_EQ(row.bits, row.swap_bytes * 16) << row.name;
    }
  }
  EXPECT_EQ(dtype_row(DType::kC64).swap_bytes, 4);
  EXPECT_EQ(dtype_row(DType::kF4E2M1).bits, 4);
}

}  // namespace
}  // namespace kilter
