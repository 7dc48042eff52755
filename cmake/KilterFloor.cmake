# kilter_floor(NAME LINKS ... PRIVATE_LINKS ...)
#
# A floor is the folder src/NAME: every .cc in it becomes the library
# kilter_NAME, every *_test.cc the program NAME_test. Private links are the
# libraries only its .cc files see. What a floor does not link, it cannot use.
include(CheckCXXCompilerFlag)

set(KILTER_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion
    -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-align -Wimplicit-fallthrough)
if(KILTER_WERROR)
  list(APPEND KILTER_WARNINGS -Werror)
endif()

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 sees overlaps in `"text" + std::string` that are not there (GCC bug 105651).
  list(APPEND KILTER_WARNINGS -Wno-restrict)
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # libstdc++ 12's own std::stable_sort calls what it declares deprecated; Clang blames the caller.
  list(APPEND KILTER_WARNINGS -Wno-deprecated-declarations)
endif()

add_library(kilter_options INTERFACE)
target_compile_options(kilter_options INTERFACE ${KILTER_WARNINGS})
target_include_directories(kilter_options INTERFACE
  "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/src")
target_compile_definitions(kilter_options INTERFACE KILTER_VERSION="${PROJECT_VERSION}")

# Optimizing a test costs more time than running it: presets set this lower than
# the build's own level (under GCC's sanitizers a test file takes a fifth of the time).
set(KILTER_TEST_FLAGS "" CACHE STRING "Compiler flags for the tests alone")

set_property(GLOBAL PROPERTY KILTER_FLOORS "")

# Parsing headers is two thirds of a build's time. With KILTER_UNITY several sources become one
# translation unit; what such a build would miss (a forgotten #include) the other presets see, and
# what only it sees (one name twice) fails in the sanitizer builds. Sources that cannot be joined:
# Highway's, which include themselves, and tables that share their names on purpose.
set(KILTER_UNITY_BATCH 8 CACHE STRING "Sources compiled as one with KILTER_UNITY")

function(kilter_join TARGET)
  if(NOT KILTER_UNITY)
    return()
  endif()
  set_target_properties(${TARGET} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE ${KILTER_UNITY_BATCH})
  get_target_property(SOURCES ${TARGET} SOURCES)
  foreach(SOURCE IN LISTS SOURCES)
    if(SOURCE MATCHES "/(kernels|tables)/")
      set_source_files_properties("${SOURCE}" TARGET_DIRECTORY ${TARGET}
        PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    endif()
  endforeach()
endfunction()

function(kilter_floor NAME)
  cmake_parse_arguments(ARG "" "" "LINKS;PRIVATE_LINKS" ${ARGN})
  file(GLOB_RECURSE SOURCES CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/${NAME}/*.cc")
  set(TESTS ${SOURCES})
  list(FILTER SOURCES EXCLUDE REGEX "_test\\.cc$")
  list(FILTER TESTS INCLUDE REGEX "_test\\.cc$")
  set_property(GLOBAL APPEND PROPERTY KILTER_FLOORS kilter_${NAME})

  if(SOURCES)
    add_library(kilter_${NAME} STATIC ${SOURCES})
    target_link_libraries(kilter_${NAME}
      PUBLIC ${ARG_LINKS}
      PRIVATE ${ARG_PRIVATE_LINKS} $<BUILD_INTERFACE:kilter_options>)
    kilter_join(kilter_${NAME})
  else()
    add_library(kilter_${NAME} INTERFACE)
    target_link_libraries(kilter_${NAME} INTERFACE ${ARG_LINKS})
  endif()

  if(KILTER_TESTS AND TESTS)
    add_executable(${NAME}_test ${TESTS})
    target_link_libraries(${NAME}_test PRIVATE
      kilter_${NAME} ${ARG_PRIVATE_LINKS} kilter_options GTest::gtest_main GTest::gmock)
    target_compile_options(${NAME}_test PRIVATE ${KILTER_TEST_FLAGS})
    kilter_join(${NAME}_test)
    target_compile_definitions(${NAME}_test PRIVATE
      KILTER_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
    gtest_discover_tests(${NAME}_test DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
      PROPERTIES LABELS ${NAME} TIMEOUT 600)
  endif()
endfunction()
