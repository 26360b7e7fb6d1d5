"""Real Redis servers, as fixtures."""

from tests.support.redis import redis_cluster_url, redis_process, redis_url

__all__ = ["redis_cluster_url", "redis_process", "redis_url"]
