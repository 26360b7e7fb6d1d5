"""The public demo keys of the example policy tree.

They are printed here for everyone to read, so the compiler blocks them everywhere but under
`tollhouse up`, which serves on the developer's own machine.
"""

from tollhouse.keys import sha256_hex, with_checksum

DEMO_KEYS: dict[str, str] = {
    "marketing-website-prod-1": with_checksum("demoMarketingWebsiteKeyIsPublic1"),
    "research-notebooks-dev-1": with_checksum("demoResearchNotebooksKeyIsPublic"),
}
"""Key id to demo key."""

DEMO_HASHES: frozenset[str] = frozenset(sha256_hex(key) for key in DEMO_KEYS.values())
