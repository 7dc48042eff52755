// Names that are known to be harmless, and how they may be used.
#include <algorithm>
#include <array>
#include <iterator>
#include <string>

#include "formats/pickle/rules.h"

namespace kilter::pickle {
namespace {

struct SafeRow {
  std::string_view module;
  std::string_view names;  // separated by blanks
  Shape shape;
  std::uint8_t grows = kGrowsNot;
};

constexpr auto kMapAndList = static_cast<std::uint8_t>(kGrowsMap | kGrowsList);

constexpr SafeRow kRows[] = {
    // Python. Source: the library reference; each only stores or converts what it is given.
    {"builtins", "set frozenset", Shape::kSized, kGrowsSet},
    {"builtins", "bytearray bytes tuple str int float bool complex slice", Shape::kSized},
    {"builtins", "list", Shape::kSized, kGrowsList},
    {"builtins", "dict", Shape::kSized, kGrowsMap},
    {"builtins", "range", Shape::kSized},
    {"builtins", "object", Shape::kData},
    {"builtins", "Ellipsis NotImplemented None True False", Shape::kNameOnly},
    {"builtins", "type", Shape::kTypeOfNone},
    {"builtins", "getattr", Shape::kGetEnum},
    {"_codecs", "encode", Shape::kEncode},
    {"copyreg", "_reconstructor", Shape::kReconstructor, kMapAndList},
    {"copyreg", "__newobj__ __newobj_ex__", Shape::kNewObject, kMapAndList},
    {"collections", "OrderedDict Counter defaultdict UserDict ChainMap", Shape::kData, kGrowsMap},
    {"collections", "deque UserList", Shape::kData, kGrowsList},
    {"datetime", "datetime date time timedelta timezone", Shape::kData},
    {"_datetime", "datetime date time timedelta timezone", Shape::kData},
    {"time", "struct_time", Shape::kData},
    {"decimal", "Decimal", Shape::kData},
    {"_decimal", "Decimal", Shape::kData},
    {"fractions", "Fraction", Shape::kData},
    {"uuid", "UUID", Shape::kInstance},
    {"uuid", "SafeUUID", Shape::kEnum},
    {"pathlib", "Path PosixPath WindowsPath PurePath PurePosixPath PureWindowsPath", Shape::kData},
    {"pathlib._local", "Path PosixPath WindowsPath PurePath PurePosixPath PureWindowsPath",
     Shape::kData},
    {"argparse", "Namespace", Shape::kInstance},
    {"types", "SimpleNamespace", Shape::kData},
    {"types", "NoneType", Shape::kNameOnly},
    {"array", "array _array_reconstructor", Shape::kData, kGrowsList},
    {"functools", "partial", Shape::kPartial},
    {"re", "_compile", Shape::kData},
    {"random", "Random", Shape::kInstance},
    {"typing", "Any Union Optional List Dict Tuple Set Callable Sequence Mapping Type",
     Shape::kNameOnly},
    {"enum", "Enum IntEnum Flag IntFlag StrEnum", Shape::kNameOnly},
    {"enum", "auto", Shape::kNameOnly},
    {"_io", "BytesIO StringIO", Shape::kInstance},
    {"io", "BytesIO StringIO", Shape::kInstance},

    // torch. Source: torch/_weights_only_unpickler.py, _get_allowed_globals.
    {"torch", "Size device Tensor", Shape::kData},
    {"torch",
     "float16 half float32 float float64 double bfloat16 uint8 int8 int16 short int32 int int64 "
     "long bool complex32 chalf complex64 cfloat complex128 cdouble bcomplex32 uint16 uint32 "
     "uint64 uint1 uint2 uint3 uint4 uint5 uint6 uint7 int1 int2 int3 int4 int5 int6 int7 "
     "float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu float4_e2m1fn_x2 "
     "qint8 quint8 qint32 quint4x2 quint2x4 bits8 bits16 bits1x8 bits2x4 bits4x2",
     Shape::kNameOnly},
    {"torch",
     "per_tensor_affine per_tensor_symmetric per_channel_affine per_channel_symmetric "
     "per_channel_affine_float_qparams strided sparse_coo sparse_csr sparse_csc sparse_bsr "
     "sparse_bsc contiguous_format channels_last channels_last_3d preserve_format _mkldnn jagged",
     Shape::kNameOnly},
    {"torch.storage", "UntypedStorage TypedStorage _UntypedStorage _TypedStorage",
     Shape::kNameOnly},
    {"torch", "UntypedStorage TypedStorage", Shape::kNameOnly},
    {"torch._utils",
     "_rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_parameter "
     "_rebuild_parameter_with_state _rebuild_qtensor _rebuild_sparse_tensor "
     "_rebuild_sparse_csr_tensor _rebuild_nested_tensor _rebuild_meta_tensor_no_storage "
     "_rebuild_device_tensor_from_numpy _rebuild_device_tensor_from_cpu_tensor _rebuild_xla_tensor",
     Shape::kData},
    {"torch._utils", "_rebuild_wrapper_subclass", Shape::kArrayOfClass},
    {"torch._tensor", "_rebuild_from_type_v2", Shape::kRebuildOfType},
    {"torch._tensor", "_rebuild_from_type", Shape::kRebuildOfType},
    {"torch.nn.parameter", "Parameter Buffer UninitializedParameter", Shape::kData},
    {"torch.serialization", "_get_layout", Shape::kEnum},
    {"torch._C._nn", "gelu", Shape::kNameOnly},
    {"torch._C", "Generator", Shape::kInstance},
    {"torch.storage", "_load_from_bytes", Shape::kLoadFromBytes},
    {"torch.nn.functional",
     "relu gelu silu sigmoid tanh leaky_relu elu softplus mish selu hardswish", Shape::kNameOnly},
    {"torch", "relu tanh sigmoid", Shape::kNameOnly},
    {"torch.nn.modules.module", "_IncompatibleKeys", Shape::kData},
    {"torch.optim.optimizer", "_RequiredParameter", Shape::kInstance},
    {"torch.optim.lr_scheduler", "_LRScheduler", Shape::kInstance},

    // torch's distributed checkpoints. Source:
    // torch/distributed/checkpoint/{metadata,filesystem}.py;
    // the second module is where older versions kept them.
    {"torch.distributed.checkpoint.metadata",
     "Metadata TensorStorageMetadata BytesStorageMetadata ChunkStorageMetadata TensorProperties "
     "MetadataIndex StorageMeta",
     Shape::kInstance},
    {"torch.distributed.checkpoint.metadata", "_MEM_FORMAT_ENCODING", Shape::kEnum},
    {"torch.distributed.checkpoint.filesystem", "_StorageInfo", Shape::kInstance},
    {"torch.distributed._shard.sharded_tensor.metadata", "TensorProperties ShardedTensorMetadata",
     Shape::kInstance},
    {"torch.distributed._shard.sharded_tensor.metadata", "MEM_FORMAT_ENCODING", Shape::kEnum},
    {"torch.distributed._shard.checkpoint.metadata",
     "Metadata TensorStorageMetadata BytesStorageMetadata ChunkStorageMetadata MetadataIndex",
     Shape::kInstance},
    {"torch.distributed._shard.checkpoint.filesystem", "_StorageInfo", Shape::kInstance},
    {"megatron.core.dist_checkpointing.strategies.torch", "MCoreMetadata", Shape::kInstance},

    // numpy. Source: what ndarray, dtype, scalar and random generators write in __reduce__.
    {"numpy", "ndarray matrix recarray record", Shape::kNameOnly},
    {"numpy", "dtype", Shape::kData},
    {"numpy",
     "bool bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 intc intp uintc uintp longlong "
     "ulonglong float16 float32 float64 longdouble complex64 complex128 clongdouble half single "
     "double str_ bytes_ void object_ generic number datetime64 timedelta64 integer floating",
     Shape::kData},
    {"numpy.core.multiarray", "_reconstruct", Shape::kArrayOfClass},
    {"numpy._core.multiarray", "_reconstruct", Shape::kArrayOfClass},
    {"numpy.core.multiarray", "scalar", Shape::kData},
    {"numpy._core.multiarray", "scalar", Shape::kData},
    {"numpy.core.numeric", "_frombuffer", Shape::kData},
    {"numpy._core.numeric", "_frombuffer", Shape::kData},
    {"numpy.ma.core", "_mareconstruct", Shape::kArrayOfClass},
    {"numpy.ma", "MaskedArray", Shape::kNameOnly},
    {"numpy.ma.core", "MaskedArray MaskedConstant", Shape::kNameOnly},
    {"numpy.random._pickle", "__randomstate_ctor __generator_ctor __bit_generator_ctor",
     Shape::kRandomState},
    {"numpy.random", "__RandomState_ctor", Shape::kRandomState},
    {"numpy.random.mtrand", "RandomState", Shape::kNameOnly},
    {"numpy.random._mt19937", "MT19937", Shape::kNameOnly},
    {"numpy.random._pcg64", "PCG64 PCG64DXSM", Shape::kNameOnly},
    {"numpy.random._philox", "Philox", Shape::kNameOnly},
    {"numpy.random._sfc64", "SFC64", Shape::kNameOnly},
    {"numpy.random.bit_generator", "SeedSequence __pyx_unpickle_SeedSequence",
     Shape::kArrayOfClass},
    {"ml_dtypes", "bfloat16 float8_e4m3fn float8_e5m2 int4 uint4", Shape::kData},

    // Settings that trainers save. Source: the files that reference/security, section 4.5, names.
    // DeepSpeed. Source: runtime/fp16/loss_scaler.py, runtime/zero/config.py,
    // utils/tensor_fragment.py:
    // plain attributes, an enum of integers, a namedtuple.
    {"deepspeed.runtime.fp16.loss_scaler", "LossScaler DynamicLossScaler LossScalerBase",
     Shape::kInstance},
    {"deepspeed.runtime.zero.config", "ZeroStageEnum", Shape::kEnum},
    {"deepspeed.utils.tensor_fragment", "fragment_address", Shape::kData},
    {"deepspeed.checkpoint.universal_checkpoint", "SubparamShape", Shape::kInstance},
    {"omegaconf.dictconfig", "DictConfig", Shape::kInstance, kGrowsMap},
    {"omegaconf.listconfig", "ListConfig", Shape::kInstance, kGrowsList},
    {"omegaconf.base", "ContainerMetadata Metadata SCMode", Shape::kInstance},
    {"omegaconf.nodes",
     "AnyNode StringNode IntegerNode FloatNode BooleanNode BytesNode PathNode EnumNode ValueNode",
     Shape::kInstance},
    {"lightning.fabric.utilities.data", "AttributeDict", Shape::kData, kGrowsMap},
    {"lightning_fabric.utilities.data", "AttributeDict", Shape::kData, kGrowsMap},
    {"pytorch_lightning.utilities.parsing", "AttributeDict", Shape::kData, kGrowsMap},
    {"lightning.pytorch.utilities.parsing", "AttributeDict", Shape::kData, kGrowsMap},
    {"easydict", "EasyDict", Shape::kData, kGrowsMap},
    {"addict.addict", "Dict", Shape::kData, kGrowsMap},
    {"munch", "Munch DefaultMunch", Shape::kData, kGrowsMap},
    {"yacs.config", "CfgNode", Shape::kData, kGrowsMap},
    {"ml_collections.config_dict.config_dict", "ConfigDict", Shape::kInstance, kGrowsMap},
    {"sample_factory.utils.attr_dict", "AttrDict", Shape::kData, kGrowsMap},
    {"sample_factory.utils.utils", "AttrDict", Shape::kData, kGrowsMap},
    {"transformers.training_args", "TrainingArguments", Shape::kInstance},
    {"transformers.training_args", "OptimizerNames ParallelMode", Shape::kEnum},
    {"transformers.training_args_seq2seq", "Seq2SeqTrainingArguments", Shape::kInstance},
    {"transformers.trainer_callback", "TrainerState TrainerControl", Shape::kInstance},
    {"transformers.trainer_utils",
     "IntervalStrategy SaveStrategy EvaluationStrategy SchedulerType HubStrategy FSDPOption "
     "ShardedDDPOption RemoveColumnsCollator",
     Shape::kEnum},
    {"transformers.debug_utils", "DebugOption", Shape::kEnum},
    {"transformers.trainer_pt_utils", "AcceleratorConfig", Shape::kInstance},
    {"transformers.integrations.deepspeed", "HfTrainerDeepSpeedConfig HfDeepSpeedConfig",
     Shape::kInstance},
    {"accelerate.state", "PartialState AcceleratorState", Shape::kInstance},
    {"accelerate.utils.dataclasses",
     "DistributedType PrecisionType ComputeEnvironment DynamoBackend FP8BackendType LoggerType "
     "RNGType",
     Shape::kEnum},
    {"accelerate.utils.dataclasses",
     "DeepSpeedPlugin FullyShardedDataParallelPlugin ProjectConfiguration "
     "GradientAccumulationPlugin DataLoaderConfiguration TorchDynamoPlugin",
     Shape::kInstance},
    {"ultralytics.utils", "IterableSimpleNamespace", Shape::kData},
    {"fairseq.data.dictionary", "Dictionary", Shape::kInstance},

    // Scientific Python. Source: what the classes write in __reduce__ and __getstate__.
    {"sklearn.tree._tree", "Tree", Shape::kData},
    {"sklearn.neighbors._kd_tree", "newObj", Shape::kArrayOfClass},
    {"sklearn.neighbors._ball_tree", "newObj", Shape::kArrayOfClass},
    {"sklearn.neighbors._dist_metrics", "newObj", Shape::kArrayOfClass},
    {"sklearn.metrics._dist_metrics", "newObj", Shape::kArrayOfClass},
    {"scipy.sparse._csr", "csr_matrix csr_array", Shape::kInstance},
    {"scipy.sparse._csc", "csc_matrix csc_array", Shape::kInstance},
    {"scipy.sparse._coo", "coo_matrix coo_array", Shape::kInstance},
    {"scipy.sparse.csr", "csr_matrix", Shape::kInstance},
    {"scipy.sparse.csc", "csc_matrix", Shape::kInstance},
    {"scipy.sparse.coo", "coo_matrix", Shape::kInstance},
    {"scipy.interpolate._interpolate", "interp1d", Shape::kInstance},
    {"joblib.numpy_pickle", "NumpyArrayWrapper", Shape::kInstance},
    {"pandas", "DataFrame Series Index RangeIndex DatetimeIndex MultiIndex", Shape::kInstance},
    {"pandas", "StringDtype CategoricalDtype", Shape::kData},
    {"pandas.arrays",
     "StringArray DatetimeArray TimedeltaArray IntegerArray FloatingArray "
     "BooleanArray",
     Shape::kInstance},
    {"pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked", Shape::kArrayOfClass},
    {"pandas.core.frame", "DataFrame", Shape::kInstance},
    {"pandas.core.series", "Series", Shape::kInstance},
    {"pandas.core.internals.managers", "BlockManager SingleBlockManager", Shape::kData},
    {"pandas._libs.internals", "_unpickle_block", Shape::kData},
    {"pandas.core.indexes.base", "Index", Shape::kInstance},
    {"pandas.core.indexes.base", "_new_Index", Shape::kArrayOfClass},
    {"pandas.core.indexes.range", "RangeIndex", Shape::kInstance},
    {"pandas.core.indexes.numeric", "Int64Index Float64Index UInt64Index", Shape::kInstance},
    {"xgboost.core", "Booster", Shape::kInstance},
    {"lightgbm.basic", "Booster", Shape::kInstance},
};

// Libraries whose classes (CapitalizedNames in the module itself or below) are instances with a
// state and nothing else. Only without constructor arguments.
constexpr std::string_view kInstanceModules[] = {
    "torch.nn.modules",
    "torch.nn.parallel",
    "torch.nn.utils",
    "torch.nn.quantized",
    "torch.ao.nn",
    "torch.ao.quantization",
    "torch.quantization",
    "torch.optim",
    "torch.distributions",
    "torch.utils.data.dataset",
    "torchvision.models",
    "torchvision.ops",
    "torchvision.transforms",
    "torchaudio.models",
    "torchaudio.transforms",
    "torchmetrics",
    "timm.layers",
    "timm.models",
    "segmentation_models_pytorch",
    "efficientnet_pytorch",
    "pytorch_lightning.callbacks",
    "lightning.pytorch.callbacks",
    "chemprop.nn",
    "chemprop.models",
    "chemprop.args",
    "ultralytics.nn",
    "ultralytics.utils.loss",
    "ultralytics.utils.tal",
    "ultralytics.yolo.utils",
    "models.common",
    "models.yolo",
    "models.experimental",
    "utils.autoanchor",
    "fairseq.criterions",
    "fairseq.models",
    "fairseq.modules",
    "peft.tuners",
    "peft.utils",
    "trl.trainer",
    "transformers.activations",
    "transformers.configuration_utils",
    "transformers.generation",
    "transformers.modeling_outputs",
    "transformers.modeling_utils",
    "transformers.models",
    "sklearn._loss",
    "sklearn.calibration",
    "sklearn.cluster",
    "sklearn.compose",
    "sklearn.covariance",
    "sklearn.cross_decomposition",
    "sklearn.decomposition",
    "sklearn.discriminant_analysis",
    "sklearn.dummy",
    "sklearn.ensemble",
    "sklearn.feature_extraction",
    "sklearn.feature_selection",
    "sklearn.gaussian_process",
    "sklearn.impute",
    "sklearn.isotonic",
    "sklearn.kernel_approximation",
    "sklearn.kernel_ridge",
    "sklearn.linear_model",
    "sklearn.manifold",
    "sklearn.metrics._dist_metrics",
    "sklearn.metrics._scorer",
    "sklearn.mixture",
    "sklearn.model_selection",
    "sklearn.multiclass",
    "sklearn.multioutput",
    "sklearn.naive_bayes",
    "sklearn.neighbors",
    "sklearn.neural_network",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "sklearn.random_projection",
    "sklearn.semi_supervised",
    "sklearn.svm",
    "sklearn.tree",
    "xgboost.sklearn",
    "lightgbm.sklearn",
    "catboost.core",
};

// CapitalizedNames in those libraries that are still not plain instances.
constexpr std::string_view kNotInstances[] = {"Parallel", "Memory", "Popen", "Process", "Thread"};

bool contains_word(std::string_view words, std::string_view word) {
  for (std::size_t at = 0; at <= words.size();) {
    const std::size_t end = std::min(words.find(' ', at), words.size());
    if (words.substr(at, end - at) == word) return true;
    at = end + 1;
  }
  return false;
}

bool is_below(std::string_view module, std::string_view parent) {
  return module.starts_with(parent) &&
         (module.size() == parent.size() || module[parent.size()] == '.');
}

bool is_capitalized(std::string_view name) {
  if (name.starts_with('_')) name.remove_prefix(1);
  return !name.empty() && name[0] >= 'A' && name[0] <= 'Z';
}

// torch.FloatStorage, torch.cuda.HalfStorage, torch.FloatTensor: named, never called.
bool is_torch_typed(std::string_view module, std::string_view name) {
  if (module != "torch" && module != "torch.cuda" && module != "torch.sparse" &&
      module != "torch.cuda.sparse") {
    return false;
  }
  constexpr std::string_view kTypes =
      "Double Float Half BFloat16 Long Int Short Char Byte Bool ComplexDouble ComplexFloat QInt8 "
      "QInt32 QUInt8 QUInt4x2 QUInt2x4";
  for (const std::string_view suffix : {"Storage", "Tensor"}) {
    if (!name.ends_with(suffix)) continue;
    if (contains_word(kTypes, name.substr(0, name.size() - suffix.size()))) return true;
  }
  return false;
}

// Exceptions are classes that only keep their arguments.
bool is_exception(std::string_view module, std::string_view name) {
  return module == "builtins" && name.size() > 5 && name[0] >= 'A' && name[0] <= 'Z' &&
         (name.ends_with("Error") || name.ends_with("Exception") || name.ends_with("Warning") ||
          name == "StopIteration");
}

bool is_numpy_dtype_class(std::string_view module, std::string_view name) {
  return (module == "numpy.dtypes" || module == "numpy.dtype") && name.ends_with("DType");
}

}  // namespace

std::optional<SafeRule> find_safe(std::string_view module, std::string_view name) {
  if (!is_identifier(name)) return std::nullopt;
  for (const SafeRow& row : kRows) {
    if (row.module == module && contains_word(row.names, name))
      return SafeRule{row.shape, row.grows};
  }
  if (is_torch_typed(module, name)) return SafeRule{Shape::kNameOnly, kGrowsNot};
  if (is_exception(module, name)) return SafeRule{Shape::kData, kGrowsNot};
  if (is_numpy_dtype_class(module, name)) return SafeRule{Shape::kData, kGrowsNot};
  if (!is_capitalized(name) || !is_dotted_identifier(module)) return std::nullopt;
  if (std::find(std::begin(kNotInstances), std::end(kNotInstances), name) !=
      std::end(kNotInstances)) {
    return std::nullopt;
  }
  for (const std::string_view parent : kInstanceModules) {
    if (is_below(module, parent)) return SafeRule{Shape::kInstance, kGrowsMap};
  }
  return std::nullopt;
}

bool weights_only_accepts(std::string_view module, std::string_view name) {
  if (is_torch_typed(module, name)) return true;
  if (module == "torch" || module == "torch._utils" || module == "torch._tensor" ||
      module == "torch.storage" || module == "torch.nn.parameter" || module == "_codecs") {
    const auto rule = find_safe(module, name);
    return rule && rule->shape != Shape::kLoadFromBytes && rule->shape != Shape::kPartial;
  }
  if (module == "collections") return name == "OrderedDict" || name == "Counter";
  if (module == "builtins") return name == "set" || name == "bytearray" || name == "complex";
  return module == "torch.serialization" && name == "_get_layout";
}

bool is_identifier(std::string_view text) {
  if (text.empty() || (text[0] >= '0' && text[0] <= '9')) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

bool is_dotted_identifier(std::string_view text) {
  while (true) {
    const std::size_t end = std::min(text.find('.'), text.size());
    if (!is_identifier(text.substr(0, end))) return false;
    if (end == text.size()) return true;
    text.remove_prefix(end + 1);
  }
}

}  // namespace kilter::pickle
