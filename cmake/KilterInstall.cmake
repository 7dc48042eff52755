# One archive, libkilter.a, made from the floors' objects; the program; a CMake
# package. A consumer writes find_package(kilter) and links kilter::kilter.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

get_property(FLOORS GLOBAL PROPERTY KILTER_FLOORS)
set(KILTER_OBJECTS $<TARGET_OBJECTS:kilter_blake3>)
foreach(FLOOR IN LISTS FLOORS)
  get_target_property(FLOOR_TYPE ${FLOOR} TYPE)
  if(NOT FLOOR_TYPE STREQUAL "INTERFACE_LIBRARY")
    list(APPEND KILTER_OBJECTS $<TARGET_OBJECTS:${FLOOR}>)
  endif()
endforeach()

add_library(kilter_library STATIC ${KILTER_OBJECTS})
set_target_properties(kilter_library PROPERTIES
  OUTPUT_NAME kilter EXPORT_NAME kilter LINKER_LANGUAGE CXX)
add_library(kilter::kilter ALIAS kilter_library)
target_compile_features(kilter_library INTERFACE cxx_std_20)
target_include_directories(kilter_library INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
# Public headers use only tl::expected; the rest is what the archive's objects call.
target_link_libraries(kilter_library INTERFACE
  tl::expected fmt::fmt simdjson::simdjson OpenSSL::Crypto ZLIB::ZLIB Threads::Threads
  PkgConfig::URING PkgConfig::DEFLATE PkgConfig::ZSTD
  PkgConfig::SNAPPY $<BUILD_INTERFACE:kilter_yaml> $<INSTALL_INTERFACE:kilter::yaml>)

set(KILTER_PACKAGE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/kilter")
install(TARGETS kilter_library EXPORT kilterTargets
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/kilter"
  DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.h")
install(EXPORT kilterTargets NAMESPACE kilter:: DESTINATION "${KILTER_PACKAGE_DIR}")

configure_package_config_file(
  "${CMAKE_CURRENT_LIST_DIR}/kilterConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/kilterConfig.cmake" INSTALL_DESTINATION "${KILTER_PACKAGE_DIR}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/kilterConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/kilterConfig.cmake"
  "${PROJECT_BINARY_DIR}/kilterConfigVersion.cmake" DESTINATION "${KILTER_PACKAGE_DIR}")

if(TARGET kilter)
  install(TARGETS kilter RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()
# The program writes these when it is built (apps/cli); each shell looks in a place of its own.
set(KILTER_SHARE "${PROJECT_BINARY_DIR}/share")
install(DIRECTORY "${KILTER_SHARE}/man/" DESTINATION "${CMAKE_INSTALL_MANDIR}")
install(FILES "${KILTER_SHARE}/completions/kilter.bash" RENAME kilter
  DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions")
install(FILES "${KILTER_SHARE}/completions/_kilter"
  DESTINATION "${CMAKE_INSTALL_DATADIR}/zsh/site-functions")
install(FILES "${KILTER_SHARE}/completions/kilter.fish"
  DESTINATION "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")
