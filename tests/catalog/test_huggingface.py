"""What published configuration files leave out, and what they may get wrong."""

import json

import pytest

from gigawatt.catalog import model_from_config
from gigawatt.errors import InputError
from gigawatt.model import parameters, transformer_of

SMALL = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 100,
    "intermediate_size": 128,
}
PUBLISHED = {
    "Grok-2": {
        "architectures": ["Grok1ForCausalLM"],
        "model_type": "git",
        "hidden_size": 8192,
        "intermediate_size": 32768,
        "moe_intermediate_size": 16384,
        "num_attention_heads": 64,
        "num_hidden_layers": 64,
        "num_key_value_heads": 8,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
        "residual_moe": True,
        "head_dim": 128,
        "vocab_size": 131072,
        "max_position_embeddings": 131072,
        "sliding_window_size": -1,
    },
    "Grok-1": {
        "hidden_size": 6144,
        "num_hidden_layers": 64,
        "num_attention_heads": 48,
        "num_kv_heads": 8,
        "key_size": 128,
        "vocab_size": 131072,
        "num_experts": 8,
        "num_selected_experts": 2,
        "widening_factor": 8,
        "architectures": ["Grok1ForCausalLM"],
    },
    "Gemma 2 27B": {
        "architectures": ["Gemma2ForCausalLM"],
        "hidden_size": 4608,
        "intermediate_size": 36864,
        "num_attention_heads": 32,
        "num_hidden_layers": 46,
        "num_key_value_heads": 16,
        "head_dim": 128,
        "vocab_size": 256128,
        "sliding_window": 4096,
        "hidden_act": "gelu_pytorch_tanh",
    },
    "Gemma 3 27B": {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "vision_config": {"hidden_size": 1152, "num_hidden_layers": 27},
        "text_config": {
            "hidden_size": 5376,
            "intermediate_size": 21504,
            "num_attention_heads": 32,
            "num_hidden_layers": 62,
            "num_key_value_heads": 16,
            "head_dim": 128,
            "sliding_window": 1024,
            "model_type": "gemma3_text",
            "vocab_size": 262144,
        },
    },
    "Mistral 7B": {
        "architectures": ["MistralForCausalLM"],
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "vocab_size": 32000,
        "sliding_window": 4096,
        "hidden_act": "silu",
    },
    "Qwen2.5-7B": {
        "architectures": ["Qwen2ForCausalLM"],
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_attention_heads": 28,
        "num_hidden_layers": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
        "sliding_window": 131072,
        "use_sliding_window": False,
        "hidden_act": "silu",
    },
    "DeepSeek-V2-Lite": {
        "architectures": ["DeepseekV2ForCausalLM"],
        "hidden_size": 2048,
        "intermediate_size": 10944,
        "moe_intermediate_size": 1408,
        "num_attention_heads": 16,
        "num_hidden_layers": 27,
        "num_key_value_heads": 16,
        "n_routed_experts": 64,
        "n_shared_experts": 2,
        "num_experts_per_tok": 6,
        "first_k_dense_replace": 1,
        "moe_layer_freq": 1,
        "q_lora_rank": None,
        "kv_lora_rank": 512,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
        "vocab_size": 102400,
    },
}


def read(tmp_path, config):
    file = tmp_path / "config.json"
    file.write_text(config if isinstance(config, str) else json.dumps(config))
    return model_from_config(file)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configuration_equals_the_catalogue(catalog, tmp_path, name):
    found, known = (transformer_of(entry) for entry in (read(tmp_path, PUBLISHED[name]), catalog.model_entry(name)))
    assert found.layers == known.layers
    assert parameters(found).total == parameters(known).total


def test_gemma_3_leaves_out_what_its_class_knows(tmp_path):
    text = {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 34,
        "model_type": "gemma3_text",
        "sliding_window": 1024,
    }
    entry = read(tmp_path, {"architectures": ["Gemma3ForConditionalGeneration"], "text_config": text})
    assert entry.architecture["vocab"] == 262208
    assert entry.architecture["head_dim"] == 256
    assert [layer.attention.window for layer in transformer_of(entry).layers[:6]] == [1024] * 5 + [None]


def test_window_that_is_switched_off_is_no_window(tmp_path):
    qwen = {**SMALL, "architectures": ["Qwen2ForCausalLM"], "sliding_window": 32}
    assert "sliding_window" not in read(tmp_path, qwen).architecture
    assert read(tmp_path, {**qwen, "use_sliding_window": True}).architecture["sliding_window"] == 32


QWEN = {
    **SMALL,
    "architectures": ["Qwen3MoeForCausalLM"],
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
}
DEEPSEEK = {
    **SMALL,
    "architectures": ["DeepseekV2ForCausalLM"],
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "kv_lora_rank": 8,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "moe_layer_freq": 2,
}
GROK = {key: value for key, value in SMALL.items() if key != "intermediate_size"} | {
    "architectures": ["Grok1ForCausalLM"],
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "widening_factor": "8",
}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({**SMALL, "hidden_act": "gelu_new"}, "hidden_act: this activation is not known"),
        ({**SMALL, "num_attention_heads": 0}, "num_attention_heads: must be above zero"),
        ({**SMALL, "num_hidden_layers": 0}, "num_hidden_layers: must be above zero"),
        ({**SMALL, "num_attention_heads": 5}, "do not divide the width of 64"),
        ({**SMALL, "architectures": {"a": 1}}, "this architecture is not known"),
        ({**SMALL, "architectures": "Llama"}, "found 'Llama'"),
        ({**SMALL, "tie_word_embeddings": "no"}, "tie_word_embeddings: true or false is needed"),
        ({**QWEN, "mlp_only_layers": 3}, "mlp_only_layers: a list"),
        ({**QWEN, "mlp_only_layers": [1]}, "dense layers must come first"),
        (DEEPSEEK, "moe_layer_freq"),
        (GROK, "widening factor above zero is needed"),
        ({**PUBLISHED["Grok-2"], "moe_intermediate_size": None}, "moe_intermediate_size: this key is missing"),
        ("[" * 100000, "nested too deeply"),
    ],
)
def test_bad_configuration_is_one_clear_message(tmp_path, config, words):
    with pytest.raises(InputError) as error:
        read(tmp_path, config)
    assert words in str(error.value)
    assert "config.json" in str(error.value)
