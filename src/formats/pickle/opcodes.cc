#include "formats/pickle/opcodes.h"

#include <array>

namespace kilter::pickle {
namespace {

struct OpcodeRow {
  Opcode opcode;
  const char* name;
};

constexpr OpcodeRow kOpcodes[] = {
    {kOpMark, "MARK"},
    {kOpStop, "STOP"},
    {kOpPop, "POP"},
    {kOpPopMark, "POP_MARK"},
    {kOpDup, "DUP"},
    {kOpFloat, "FLOAT"},
    {kOpInt, "INT"},
    {kOpBinInt, "BININT"},
    {kOpBinInt1, "BININT1"},
    {kOpLong, "LONG"},
    {kOpBinInt2, "BININT2"},
    {kOpNone, "NONE"},
    {kOpPersId, "PERSID"},
    {kOpBinPersId, "BINPERSID"},
    {kOpReduce, "REDUCE"},
    {kOpString, "STRING"},
    {kOpBinString, "BINSTRING"},
    {kOpShortBinString, "SHORT_BINSTRING"},
    {kOpUnicode, "UNICODE"},
    {kOpBinUnicode, "BINUNICODE"},
    {kOpAppend, "APPEND"},
    {kOpBuild, "BUILD"},
    {kOpGlobal, "GLOBAL"},
    {kOpDict, "DICT"},
    {kOpEmptyDict, "EMPTY_DICT"},
    {kOpAppends, "APPENDS"},
    {kOpGet, "GET"},
    {kOpBinGet, "BINGET"},
    {kOpInst, "INST"},
    {kOpLongBinGet, "LONG_BINGET"},
    {kOpList, "LIST"},
    {kOpEmptyList, "EMPTY_LIST"},
    {kOpObj, "OBJ"},
    {kOpPut, "PUT"},
    {kOpBinPut, "BINPUT"},
    {kOpLongBinPut, "LONG_BINPUT"},
    {kOpSetItem, "SETITEM"},
    {kOpTuple, "TUPLE"},
    {kOpEmptyTuple, "EMPTY_TUPLE"},
    {kOpSetItems, "SETITEMS"},
    {kOpBinFloat, "BINFLOAT"},
    {kOpProto, "PROTO"},
    {kOpNewObj, "NEWOBJ"},
    {kOpExt1, "EXT1"},
    {kOpExt2, "EXT2"},
    {kOpExt4, "EXT4"},
    {kOpTuple1, "TUPLE1"},
    {kOpTuple2, "TUPLE2"},
    {kOpTuple3, "TUPLE3"},
    {kOpNewTrue, "NEWTRUE"},
    {kOpNewFalse, "NEWFALSE"},
    {kOpLong1, "LONG1"},
    {kOpLong4, "LONG4"},
    {kOpBinBytes, "BINBYTES"},
    {kOpShortBinBytes, "SHORT_BINBYTES"},
    {kOpShortBinUnicode, "SHORT_BINUNICODE"},
    {kOpBinUnicode8, "BINUNICODE8"},
    {kOpBinBytes8, "BINBYTES8"},
    {kOpEmptySet, "EMPTY_SET"},
    {kOpAddItems, "ADDITEMS"},
    {kOpFrozenSet, "FROZENSET"},
    {kOpNewObjEx, "NEWOBJ_EX"},
    {kOpStackGlobal, "STACK_GLOBAL"},
    {kOpMemoize, "MEMOIZE"},
    {kOpFrame, "FRAME"},
    {kOpByteArray8, "BYTEARRAY8"},
    {kOpNextBuffer, "NEXT_BUFFER"},
    {kOpReadonlyBuffer, "READONLY_BUFFER"},
};

constexpr auto kNames = [] {
  std::array<const char*, 256> names{};
  for (const OpcodeRow& row : kOpcodes) names[row.opcode] = row.name;
  return names;
}();

}  // namespace

const char* opcode_name(std::uint8_t opcode) { return kNames[opcode]; }

}  // namespace kilter::pickle
