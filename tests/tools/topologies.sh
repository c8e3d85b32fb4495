#!/usr/bin/env bash
# Runs the end-to-end tests on Headgate as a data and a control plane, and as a process per service; `cargo test` runs
# them as one process. Says at the end how many ran on which.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Tests of one process: its configuration, its folder, its bounds; those that choose their processes themselves; and
# those that have no gate at all.
readonly of_one_process=(
  bounds::grpc_ config:: layering:: lifecycle::a_data_folder_has_one_process
  databases:: degraded:: fire:: fleet:: hang_ups:: health::operators_learn lifecycle::without_a_config log_noise::
  mutual_tls:: openapi:: own_authorities:: proto_lint:: records_load:: records_nats:: redis_keys::
  request_ids::a_change_that_outlives_its_call secrets::files_with_secrets servers:: image:: deploy::
  rows::complete rows::pattern trace_context::a_trace_goes traceability::
)

skip=()
for name in "${of_one_process[@]}"; do skip+=(--skip "$name"); done
counts=()
for topology in ${@:-planes split}; do
  printed=$(mktemp)
  HEADGATE_TEST_TOPOLOGY=$topology cargo test --locked -p headgate-tests --test it -- "${skip[@]}" | tee "$printed"
  counts+=("$topology: $(sed -n 's/^test result: ok. \([0-9]*\) passed.*/\1/p' "$printed")")
  rm "$printed"
done
all=$(cargo test --locked -q -p headgate-tests --test it -- --list | grep -c ': test$')
printf 'end-to-end tests, all-in-one: %s' "$all"
printf ', %s' "${counts[@]}"
echo
