"""One case per kind of checkpoint: how to write it, and what loading must find."""

from typing import Any

from tests.helpers.checkpoint_writers import (
    Case,
    Writer,
    circuit_tracer,
    dictionary_learning,
    gemma_scope,
    gemma_scope_2,
    llama_scope,
    llamascopium,
    openai,
    qwen_scope,
    saelens,
    sparsify,
)
from tests.helpers.checkpoint_writers import D as D
from tests.helpers.checkpoint_writers import Function as Function
from tests.helpers.checkpoint_writers import M as M

MLP = ("layers.1.mlp.input", "layers.1.mlp.output")
TL_MLP = ("blocks.1.mlp.hook_in", "blocks.1.hook_mlp_out")
SAE = ("blocks.1.hook_mlp_out", "blocks.1.hook_mlp_out")


def _case(name: str, write: Writer, architecture: str = "sae", **more: Any) -> Case:
    return Case(name=name, format=name.split(":")[0], architecture=architecture, write=write, **more)


CASES = [
    _case("sparsify:sae", sparsify(), folder="layers.1.mlp", sites=(MLP[1], MLP[1])),
    _case("sparsify:groupmax", sparsify(activation="groupmax"), folder="layers.1.mlp"),
    _case("sparsify:seed", sparsify(), folder="run/layers.1.mlp/seed3", sites=(MLP[1], MLP[1])),
    _case("sparsify:transcoder", sparsify(transcode=True), "transcoder", folder="layers.1.mlp", sites=MLP),
    _case("sparsify:skip", sparsify(transcode=True, skip=True), "skip-transcoder", folder="layers.1.mlp", sites=MLP),
    _case("sparsify:old transcoder", sparsify(transcode=True, old=True), "transcoder", folder="layers.1.mlp",
          settings=(("pre_bias", True),)),
    *(_case(f"saelens:{kind}", saelens(kind), sites=SAE)
      for kind in ("standard", "topk", "abstopk", "jumprelu", "gated")),
    *(_case(f"saelens:flat {kind}", saelens(kind, flat=True), sites=SAE) for kind in ("standard", "topk", "jumprelu")),
    *(_case(f"saelens:{kind}", saelens(kind), "transcoder", sites=TL_MLP)
      for kind in ("transcoder", "jumprelu_transcoder")),
    *(_case(f"saelens:{kind}", saelens(kind), "skip-transcoder", sites=TL_MLP)
      for kind in ("skip_transcoder", "jumprelu_skip_transcoder")),
    _case("saelens:no pre-bias", saelens("standard", apply_b_dec_to_input=False)),
    _case("saelens:rescaled topk", saelens("topk", rescale_acts_by_decoder_norm=True)),
    _case("saelens:layer norm", saelens("jumprelu", normalize_activations="layer_norm")),
    _case("saelens:layer norm transcoder", saelens("transcoder", normalize_activations="layer_norm"), "transcoder"),
    _case("saelens:constant norm", saelens("standard", normalize_activations="constant_norm_rescale")),
    _case("saelens:expected average", saelens("standard", normalize_activations="expected_average_only_in")),
    _case("saelens:expected average jumprelu", saelens("jumprelu", normalize_activations="expected_average_only_in")),
    *(_case(f"dictionary_learning:{kind}", dictionary_learning(kind),
            sites=("resid_post_layer_1", "resid_post_layer_1"))
      for kind in ("AutoEncoder", "AutoEncoderNew", "GatedAutoEncoder", "JumpReluAutoEncoder", "AutoEncoderTopK",
                   "BatchTopKSAE", "MatryoshkaBatchTopKSAE")),
    _case("gemma_scope:res", gemma_scope(), folder="gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71",
          sites=("blocks.20.hook_resid_post", "blocks.20.hook_resid_post")),
    _case("gemma_scope:mlp lower case", gemma_scope("w"), folder="gemma-scope-2b-pt-mlp/layer_3/width_16k/average_l0_9",
          sites=("blocks.3.hook_mlp_out", "blocks.3.hook_mlp_out")),
    _case("gemma_scope:transcoder", gemma_scope(), "transcoder",
          folder="gemma-scope-2b-pt-transcoders/layer_4/width_16k/average_l0_88",
          sites=("blocks.4.ln2.hook_normalized", "blocks.4.hook_mlp_out")),
    _case("gemma_scope:embedding", gemma_scope(embedding=True),
          folder="gemma-scope-2b-pt-res/embedding/width_4k/average_l0_6", sites=("hook_embed", "hook_embed")),
    _case("gemma_scope_2:resid", gemma_scope_2(), sites=("model.layers.1.output", "model.layers.1.output")),
    _case("gemma_scope_2:affine", gemma_scope_2(affine=True, transcode=True), "skip-transcoder"),
    _case("gemma_scope_2:no config", gemma_scope_2(config=False), "transcoder",
          folder="transcoder/layer_9_width_16k_l0_small",
          sites=tuple(f"model.layers.9.{side}_feedforward_layernorm.output" for side in ("pre", "post"))),
    *(_case(f"circuit_tracer:{kind}", circuit_tracer(kind), "transcoder", sites=TL_MLP)
      for kind in ("relu", "jumprelu", "topk")),
    _case("circuit_tracer:skip", circuit_tracer("relu", skip=True), "skip-transcoder", focus="layer_1.safetensors"),
    _case("llama_scope:sae", llama_scope(), sites=SAE),
    _case("llama_scope:no norm", llama_scope(unit=False), sites=SAE),
    _case("llama_scope:topk", llama_scope(act="topk"), sites=SAE),
    _case("llama_scope:transcoder", llama_scope(transcode=True), "transcoder", sites=TL_MLP),
    _case("llamascopium:jumprelu", llamascopium(), sites=SAE),
    _case("llamascopium:no norm", llamascopium(unit=False), sites=SAE),
    _case("llamascopium:topk", llamascopium("topk"), sites=SAE),
    _case("llamascopium:transcoder", llamascopium("relu", transcode=True), "transcoder", sites=TL_MLP),
    _case("llamascopium:token-wise", llamascopium("relu", norm="token-wise"), sites=SAE),
    _case("llamascopium:inference", llamascopium(norm="inference"), sites=SAE),
    _case("llamascopium:R1", llamascopium(r1=True), sites=SAE, settings=(("input_scale", 0.5),)),
    *(_case(f"openai:{act}", openai(act), folder="resid_post_mlp/autoencoders", focus="8.pt",
            sites=("blocks.8.hook_resid_post", "blocks.8.hook_resid_post")) for act in ("ReLU", "TopK")),
    _case("qwen_scope:residual", qwen_scope, folder="SAE-Res-Qwen3-1.7B-Base-W32K-L0_3", focus="layer4.sae.pt",
          sites=("blocks.4.hook_resid_post", "blocks.4.hook_resid_post")),
]  # fmt: skip
