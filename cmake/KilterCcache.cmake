# Uses ccache where it is present; a plain build otherwise.
find_program(KILTER_CCACHE ccache)
if(KILTER_CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER "${KILTER_CCACHE}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${KILTER_CCACHE}")
endif()
