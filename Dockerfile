# The services, the console, `tollhouse render` and `tollhouse keys`. Policies are mounted, never built in; the
# `local` extra (Envoy, Redis, the simulator) stays out.
FROM python:3.11-slim-bookworm AS build
RUN python -m venv /opt/tollhouse
WORKDIR /src
COPY pyproject.toml constraints.txt README.md ./
COPY authz_service authz_service
COPY console console
COPY ratelimit_service ratelimit_service
COPY tollhouse tollhouse
COPY envoy envoy
RUN /opt/tollhouse/bin/pip install --no-cache-dir --no-compile -c constraints.txt '.[console]'

FROM python:3.11-slim-bookworm
# deploy/make-certificate.sh runs in this image.
RUN openssl version
COPY --from=build /opt/tollhouse /opt/tollhouse
ENV PATH=/opt/tollhouse/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

# 101 is Envoy's uid and gid in its official image. Our processes share its group and nothing else:
# Envoy may connect to their sockets and read what they render. A new volume takes the owner of the
# folder it is mounted on, so these are made here.
RUN install -d -o 10001 -g 101 -m 0750 /certs \
    && install -d -o 10001 -g 101 -m 0700 /var/lib/tollhouse \
    && install -d -o 101 -g 101 -m 0750 /var/log/tollhouse
USER 10001:101

# Sockets and files for owner and group, whoever else is on the volume. Envoy has to write to a
# socket to connect to it, which the usual umask of 022 keeps from the group.
ENTRYPOINT ["sh", "-c", "umask 007 && exec \"$@\"", "tollhouse"]
CMD ["tollhouse", "--help"]
