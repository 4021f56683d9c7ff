# Thin on purpose: each target is a script in deploy/scripts, which can be read and run alone.

SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help build run cluster cluster-node check test test-compose bench bench-quick fuzz faults mutants

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the program, optimised: target/release/causeway
	cargo build --release --locked -p causeway-node

run: build ## one node on the embedded store, data in var/ (MQTT_PORT=1883 HTTP_PORT=8080)
	@deploy/scripts/run

cluster: build ## three nodes, Postgres and nginx on this machine, one Ctrl-C for all (MQTT_PORT=1883)
	@deploy/scripts/cluster

cluster-node: ## starts a node of `make cluster` again that you killed (N=1, 2 or 3)
	@deploy/scripts/cluster-node $(N)

check: ## formatter, lints, map of the rooms, dependencies
	@deploy/scripts/check

test: ## every test that this machine can run, with real clients and a private Postgres
	@deploy/scripts/test

test-compose: ## the compose file with real containers: a node and Postgres are killed (needs root)
	@deploy/scripts/test-compose

bench: ## every load scenario on one node, a cluster and mosquitto, three rounds (25 minutes); writes docs/benchmark.md
	@deploy/scripts/bench compare --write docs --note "commit $$(git rev-parse --short HEAD)"

bench-quick: ## the same, one short round (three minutes); prints the tables only
	@deploy/scripts/bench compare --quick

fuzz: ## hostile input for the decoders and for running nodes (SECONDS=60 for each target)
	@SECONDS_EACH=$(or $(SECONDS),60) deploy/scripts/fuzz

faults: ## a cluster broken by seeded faults under load, and a checker (SEED=7 or SEEDS=1-200, JOBS=2, SECONDS, ONLY=kill)
	@SECONDS_EACH=$(or $(SECONDS),12) deploy/scripts/faults

mutants: ## bugs put in on purpose, each of which `make faults` must find (MUTANT=no-fence, SEEDS=1-20, JOBS=2, EVERY=1)
	@SECONDS_EACH=$(or $(SECONDS),12) deploy/scripts/mutants
