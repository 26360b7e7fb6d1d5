"""Any price and any usage, for Hypothesis."""

from hypothesis import strategies as st

from tollhouse.money import COUNTS, UNSTATED, Price, Rates, Step, TokenPrice, Usage

rates = st.integers(min_value=0, max_value=10**13)
counts = st.integers(min_value=0, max_value=10**9)
unstated = st.just(UNSTATED) | rates
names = st.sampled_from(["flex", "priority", "hd 1024x1024", "high 1024x1536"])
flat = st.builds(Rates, rates, rates, *[unstated] * 7)
steps = st.lists(
    st.builds(Step, counts, flat), max_size=3, unique_by=lambda each: each.above_input_tokens
).map(lambda found: tuple(sorted(found, key=lambda each: each.above_input_tokens)))
tiers = st.builds(TokenPrice, rates, rates, *[unstated] * 7, long_context=steps)
images = st.dictionaries(st.just("default") | names, rates, max_size=3)
prices = st.builds(
    Price,
    rates,
    rates,
    *[unstated] * 7,
    long_context=steps,
    service_tiers=st.dictionaries(names, tiers, max_size=2).map(
        lambda of: tuple(sorted(of.items()))
    ),
    per_image=images.map(lambda of: tuple(sorted(of.items()))),
    per_hour=rates,
    minimum_audio_milliseconds=counts,
    per_million_characters=rates,
    per_thousand_searches=rates,
    per_request=rates,
)
usages = st.builds(
    Usage,
    **dict.fromkeys(COUNTS, counts),
    service_tier=st.just("") | names,
    image_variant=st.just("") | names,
)
