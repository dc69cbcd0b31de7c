# One service's image, for those who build with Docker:
#   docker build --build-arg SERVICE=svc-ledger --build-arg RELEASE="$(git describe --always --dirty)" .
# `cargo xtask images` makes the same root without Docker; both take it from the same command.
FROM rust:1.95-bookworm AS build
ARG SERVICE
WORKDIR /localplus
COPY . .
RUN cargo xtask images --root /root-of-image "${SERVICE:?say which: --build-arg SERVICE=svc-ledger}" \
 && ln "/root-of-image/${SERVICE}" /root-of-image/service

FROM scratch
ARG SERVICE
ARG RELEASE=dev
LABEL org.opencontainers.image.title="${SERVICE}" org.opencontainers.image.version="${RELEASE}"
ENV LOCALPLUS_RELEASE="${RELEASE}"
COPY --from=build /root-of-image /
USER 65532:65532
# An exec-form entrypoint takes no build argument, and there is no shell: this is the service by a fixed name.
ENTRYPOINT ["/service"]
