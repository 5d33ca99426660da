# The production image: the API and the operator commands, without the feature `dev`.
#
#   docker build --build-arg COMMIT=$(git rev-parse --short HEAD) -t cruddur .

FROM node:20-bookworm-slim AS node

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential \
    && rm -rf /var/lib/apt/lists/*
# npm bundles GraphiQL and the web app while the program is built.
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=node /usr/local/lib/node_modules/npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
WORKDIR /build
# An empty FEATURES adds the commands `dev` and `issuer`, which compose.yaml needs.
ARG FEATURES=--no-default-features

# Dependencies first: Docker reuses this layer until Cargo.toml or Cargo.lock changes.
# Cargo requires a file for every target that Cargo.toml names.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src examples benches/instructions tests/api tests/faults \
    && echo 'fn main() {}' | tee src/main.rs benches/instructions/main.rs examples/embed.rs examples/hostile.rs examples/live.rs examples/scan.rs examples/throughput.rs examples/torture.rs tests/faults/main.rs > tests/api/main.rs \
    && touch src/lib.rs \
    && cargo build --release --locked $FEATURES --bin cruddur \
    && rm -r src

COPY build.rs ./
COPY migrations ./migrations
COPY web ./web
COPY src ./src
ARG COMMIT=
ENV CRUDDUR_COMMIT=$COMMIT
RUN touch src/main.rs src/lib.rs \
    && cargo build --release --locked $FEATURES --bin cruddur

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin cruddur \
    && mkdir /etc/cruddur
# Mount the database's CA file here, and append this to DATABASE_URL:
# ?sslmode=verify-full&sslrootcert=/etc/cruddur/database-ca.pem
VOLUME /etc/cruddur
COPY --from=build /build/target/release/cruddur /usr/local/bin/cruddur
USER cruddur
ENV LISTEN_ADDR=0.0.0.0:4000
# No transparent huge pages, also if the host uses them for all programs.
ENV MIMALLOC_ALLOW_THP=0
EXPOSE 4000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["cruddur", "healthcheck"]
ENTRYPOINT ["cruddur"]
CMD ["serve"]
