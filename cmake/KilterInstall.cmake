# Install rules and the CMake package: written with the house.
