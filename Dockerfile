# A static binary in an empty image: no shell, no libraries, no root.
#
#   docker build -t openai-relay .
#   docker build -t openai-relay --build-arg BUILD=trained .    a tenth less processor time, for three times the build
#   docker run -p 8080:8080 --env-file .env --read-only openai-relay
#
# scripts/image makes the same file set without Docker, and tries it.

FROM rust:1.95-slim-bookworm AS builder
WORKDIR /src
COPY . .
ARG BUILD=plain
RUN scripts/release "$BUILD" \
    && scripts/lib/file-set target/shipped/release/openai-relay / \
    && ls -lR /image

# What runs. The authorities of TLS are in the binary; Docker adds /etc/hosts and /etc/resolv.conf.
FROM scratch
COPY --from=builder /image/root/ /
COPY --from=builder --chown=65532:65532 /image/data/ /data/
USER 65532:65532
# .env is read here where one is mounted, and accounts are kept here (app.db).
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=4s --start-period=5s --retries=2 CMD ["/openai-relay", "healthcheck"]
ENTRYPOINT ["/openai-relay"]
CMD ["serve"]
