"""The public demo keys and management token of the example policy tree.

They are printed here for everyone to read, so the compiler blocks them everywhere but under
`tollhouse up`, which serves on the developer's own machine.
"""

from tollhouse.keys import MANAGEMENT_PREFIX, sha256_hex, with_checksum

DEMO_KEYS: dict[str, str] = {
    key_id: with_checksum(body)
    for key_id, body in {
        "marketing-website-prod-1": "demoMarketingWebsiteKeyIsPublic1",
        "marketing-website-staging-1": "demoMarketingStagingKeyIsPublic1",
        "research-notebooks-staging-1": "demoResearchNotebooksKeyIsPublic",
        "research-evaluations-prod-1": "demoResearchEvalsKeyIsPublic0001",
        "support-triage-prod-1": "demoSupportTriageKeyIsPublic0001",
        "support-triage-staging-1": "demoSupportStagingKeyIsPublic001",
        "support-drafts-prod-1": "demoSupportDraftsKeyIsPublic0001",
        "sales-call-notes-prod-1": "demoSalesCallNotesKeyIsPublic001",
        "engineering-assistant-prod-1": "demoEngineeringAssistKeyIsPublic",
        "engineering-ci-staging-1": "demoEngineeringPipelineKeyPublic",
    }.items()
}
"""Key id to demo key."""

DEMO_HASHES: frozenset[str] = frozenset(sha256_hex(key) for key in DEMO_KEYS.values())

DEMO_TOKENS: dict[str, str] = {
    "demo-admin": with_checksum("demoAdminTokenOfThePlatformPubl1", MANAGEMENT_PREFIX),
    "demo-marketing-lead": with_checksum("demoMarketingLeadTokenIsPublic01", MANAGEMENT_PREFIX),
}
"""Token id to demo management token."""

DEMO_TOKEN_HASHES: frozenset[str] = frozenset(sha256_hex(token) for token in DEMO_TOKENS.values())
"""Accepted under `tollhouse up` only."""
