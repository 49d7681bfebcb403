"""Settings are read by pages and commands that must start at once."""

import subprocess
import sys


def test_settings_start_without_torch_and_transformers() -> None:
    code = (
        "import sys; import llm_studio.config, llm_studio.problem_types, llm_studio.config.reference;"
        "llm_studio.config.from_yaml('training: {lora_r: 8}');"
        "print(sorted({'torch', 'transformers', 'peft', 'pandas', 'h2o_wave'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
