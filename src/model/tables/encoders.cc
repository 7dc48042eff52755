// Encoders and encoder-decoders of text.
#include "model/tables/tables.h"

namespace kilter::model::tables {
namespace {

constexpr std::string_view kText = "text-encoder";
constexpr std::string_view kBertCovers =
    "embeddings. encoder. pooler. ^cls. ^classifier. ^qa_outputs. ^lm_head.";

constexpr Signature kRows[] = {
    {"bert", "bert", "BERT", kText, 50, R"(
! encoder.layer.{layers}.attention.self.query.weight [width,width]
! embeddings.token_type_embeddings.weight [2,_embedding]
! encoder.layer.{n}.intermediate.dense.weight [inner,width]
+ embeddings.word_embeddings.weight [vocabulary,_embedding]
+ embeddings.position_embeddings.weight [context,_embedding]
+ encoder.layer.{n}.output.dense.weight [width,inner]
- embeddings_project.weight
)",
     kBertCovers, "heads=width/64",
     "google-research/bert; huggingface/transformers models/bert/modeling_bert.py"},
    {"electra", "electra", "ELECTRA", kText, 50, R"(
! encoder.layer.{layers}.attention.self.query.weight [width,width]
! embeddings_project.weight [width,_embedding]
! encoder.layer.{n}.intermediate.dense.weight [inner,width]
+ embeddings.word_embeddings.weight [vocabulary,_embedding]
)",
     "embeddings. embeddings_project. encoder. ^discriminator_predictions. ^generator_", "",
     "huggingface/transformers models/electra/modeling_electra.py"},
    {"roberta", "roberta", "RoBERTa", kText, 50, R"(
! encoder.layer.{layers}.attention.self.query.weight [width,width]
! embeddings.token_type_embeddings.weight [1,width]
! encoder.layer.{n}.intermediate.dense.weight [inner,width]
+ embeddings.word_embeddings.weight [vocabulary,width]
+ embeddings.position_embeddings.weight [positions,width]
+ encoder.layer.{n}.output.dense.weight [width,inner]
)",
     kBertCovers, "heads=width/64", "huggingface/transformers models/roberta/modeling_roberta.py"},
    {"distilbert", "distilbert", "DistilBERT", kText, 50, R"(
! transformer.layer.{layers}.attention.q_lin.weight [width,width]
! transformer.layer.{n}.ffn.lin1.weight [inner,width]
! embeddings.word_embeddings.weight [vocabulary,width]
+ embeddings.position_embeddings.weight [context,width]
+ transformer.layer.{n}.sa_layer_norm.weight [width]
)",
     "transformer. embeddings. ^vocab_ ^classifier. ^pre_classifier. ^qa_outputs.",
     "heads=width/64", "huggingface/transformers models/distilbert/modeling_distilbert.py"},
    {"deberta", "deberta", "DeBERTa", kText, 50, R"(
! encoder.layer.{layers}.attention.self.query_proj.weight [width,width]
! encoder.rel_embeddings.weight
! encoder.layer.{n}.intermediate.dense.weight [inner,width]
+ embeddings.word_embeddings.weight [vocabulary,width]
)",
     "embeddings. encoder. ^lm_predictions. ^classifier. ^pooler.", "",
     "microsoft/DeBERTa; huggingface/transformers models/deberta_v2/modeling_deberta_v2.py"},
    {"albert", "albert", "ALBERT", kText, 50, R"(
! encoder.albert_layer_groups.{n}.albert_layers.{n}.attention.query.weight [width,width]
! encoder.embedding_hidden_mapping_in.weight [width,_embedding]
+ embeddings.word_embeddings.weight [vocabulary,_embedding]
)",
     "embeddings. encoder. pooler. ^predictions. ^classifier.", "",
     "huggingface/transformers models/albert/modeling_albert.py"},
    {"mpnet", "mpnet", "MPNet", kText, 50, R"(
! encoder.layer.{layers}.attention.attn.q.weight [width,width]
! encoder.relative_attention_bias.weight
! encoder.layer.{n}.intermediate.dense.weight [inner,width]
+ embeddings.word_embeddings.weight [vocabulary,width]
)",
     "embeddings. encoder. pooler. ^lm_head.", "heads=width/64",
     "huggingface/transformers models/mpnet/modeling_mpnet.py"},
    {"modernbert", "modernbert", "ModernBERT", kText, 50, R"(
! layers.{layers}.attn.Wqkv.weight [3*width,width]
! layers.{n}.mlp.Wi.weight [2*inner,width]
! embeddings.tok_embeddings.weight [vocabulary,width]
+ final_norm.weight [width]
)",
     "layers. embeddings. final_norm. ^head. ^decoder. ^classifier.", "heads=width/64",
     "huggingface/transformers models/modernbert/modeling_modernbert.py"},
    {"t5", "t5", "T5", "language-model", 55, R"(
! encoder.block.{encoder-layers}.layer.0.SelfAttention.q.weight [_q,width]
! decoder.block.{decoder-layers}.layer.1.EncDecAttention.q.weight [_q,width]
! encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight [*,heads]
+ shared.weight [vocabulary,width]
+ encoder.final_layer_norm.weight [width]
+ decoder.final_layer_norm.weight [width]
? encoder.block.{n}.layer.1.DenseReluDense.wi.weight [inner,width]
? encoder.block.{n}.layer.1.DenseReluDense.wi_0.weight [inner,width]
)",
     "encoder. decoder. shared. lm_head.", "", "huggingface/transformers models/t5/modeling_t5.py"},
    {"t5-encoder", "t5", "T5 encoder", kText, 35, R"(
! encoder.block.{encoder-layers}.layer.0.SelfAttention.q.weight [_q,width]
! encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight [*,heads]
! encoder.block.{n}.layer.0.layer_norm.weight [width]
+ shared.weight [vocabulary,width]
+ encoder.final_layer_norm.weight [width]
? encoder.block.{n}.layer.1.DenseReluDense.wi.weight [inner,width]
? encoder.block.{n}.layer.1.DenseReluDense.wi_0.weight [inner,width]
- decoder.block.{n}.layer.1.EncDecAttention.q.weight
)",
     "encoder. shared.", "", "huggingface/transformers models/t5/modeling_t5.py"},
    {"bart", "bart", "BART", "language-model", 55, R"(
! decoder.layers.{decoder-layers}.encoder_attn.q_proj.weight [width,width]
! encoder.layers.{encoder-layers}.fc1.weight [inner,width]
! encoder.embed_positions.weight [positions,width]
+ shared.weight [vocabulary,width]
+ encoder.layernorm_embedding.weight [width]
- encoder.conv1.weight
)",
     "encoder. decoder. shared. ^lm_head. ^final_logits_bias", "",
     "huggingface/transformers models/bart/modeling_bart.py"},
};

}  // namespace

std::span<const Signature> encoders() { return kRows; }

}  // namespace kilter::model::tables
