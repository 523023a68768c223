"""How fast is it here: `hub bench` measures a hub of its own, beside floors that do nothing but what any hub must."""
