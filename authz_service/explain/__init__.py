"""Why a key may or may not call an alias: the decision, and every line of the policy behind it."""
