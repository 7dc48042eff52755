# Everything Kilter links that it does not own. docs/dependencies.md says why.
find_package(tl-expected REQUIRED)
find_package(fmt REQUIRED)
find_package(simdjson REQUIRED)
find_package(nlohmann_json REQUIRED)
if(NOT SKBUILD)
  find_package(CLI11 REQUIRED)
endif()
set(OPENSSL_USE_STATIC_LIBS TRUE)  # libcrypto.so adds 3 ms to the start of every process
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(ZLIB REQUIRED)
find_path(KILTER_HWY_INCLUDE hwy/highway.h REQUIRED)  # headers alone: src/tensor/kernels/dispatch.cc
find_package(Eigen3 3.4 REQUIRED NO_MODULE)  # headers alone: src/ops/factors/kernels/small_matrix.cc
find_path(KILTER_CURL_INCLUDE curl/curl.h REQUIRED)  # headers alone: src/io/s3/curl_library.cc loads it
find_path(KILTER_FUSE_INCLUDE fuse3/fuse_lowlevel.h REQUIRED)  # headers alone: src/store/mount/fuse_library.h
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(URING REQUIRED IMPORTED_TARGET liburing)
pkg_check_modules(DEFLATE REQUIRED IMPORTED_TARGET libdeflate)
add_library(kilter_uring ALIAS PkgConfig::URING)
add_library(kilter_deflate ALIAS PkgConfig::DEFLATE)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
add_library(kilter_zstd ALIAS PkgConfig::ZSTD)
pkg_check_modules(SNAPPY REQUIRED IMPORTED_TARGET snappy)
add_library(kilter_snappy ALIAS PkgConfig::SNAPPY)
# The archive in programs: its exceptions end where they began, in the one C++ runtime that is linked
# in. The shared library in Python's module, which has no runtime of its own, and for which Debian's
# archive is not compiled.
find_library(KILTER_YAML_LIBRARY libyaml-cpp.a REQUIRED)
find_library(KILTER_YAML_SHARED libyaml-cpp.so REQUIRED)
find_path(KILTER_YAML_INCLUDE yaml-cpp/yaml.h REQUIRED)
add_library(kilter_yaml INTERFACE IMPORTED)
target_include_directories(kilter_yaml SYSTEM INTERFACE "${KILTER_YAML_INCLUDE}")
target_link_libraries(kilter_yaml INTERFACE
  "$<IF:$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>,${KILTER_YAML_LIBRARY},${KILTER_YAML_SHARED}>")

if(KILTER_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
  enable_testing()
endif()

# BLAKE3: Debian ships the upstream C sources inside the Rust crate's package.
file(GLOB KILTER_BLAKE3_DIR /usr/share/cargo/registry/blake3-*/c)
if(NOT KILTER_BLAKE3_DIR)
  message(FATAL_ERROR "BLAKE3's C sources are missing: run scripts/setup (package librust-blake3-dev)")
endif()
list(GET KILTER_BLAKE3_DIR 0 KILTER_BLAKE3_DIR)
add_library(kilter_blake3 STATIC
  "${KILTER_BLAKE3_DIR}/blake3.c" "${KILTER_BLAKE3_DIR}/blake3_dispatch.c"
  "${KILTER_BLAKE3_DIR}/blake3_portable.c")
target_include_directories(kilter_blake3 SYSTEM PUBLIC "$<BUILD_INTERFACE:${KILTER_BLAKE3_DIR}>")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  enable_language(ASM)
  target_sources(kilter_blake3 PRIVATE
    "${KILTER_BLAKE3_DIR}/blake3_sse2_x86-64_unix.S" "${KILTER_BLAKE3_DIR}/blake3_sse41_x86-64_unix.S"
    "${KILTER_BLAKE3_DIR}/blake3_avx2_x86-64_unix.S" "${KILTER_BLAKE3_DIR}/blake3_avx512_x86-64_unix.S")
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  target_sources(kilter_blake3 PRIVATE "${KILTER_BLAKE3_DIR}/blake3_neon.c")
endif()
