#!/usr/bin/env bash
# Functions and data with external linkage that no library and no program uses: unused.sh [BUILD]. A test is no user.
# Prints each with its source, and each row below that is out of date; 1 if there is one. A use is a relocation in an object of ours, its own included: the
# libraries are built with -fPIC, so a call inside one object leaves a relocation too.
set -euo pipefail
cd "${1:-build}"

# Name, and why it stands without a caller: a witness is how tests see a state that has no other face.
readarray -t KNOWN <<'TABLE'
gemm_dw_plan_number	witness: each plan of a gradient, which must have the bits of all
gemm_plan_number	witness: each plan of a product, which must have the bits of all
main	the system begins a program with it
backward_run	witness: the whole backward in one call, against which parts of it are held
chat_parse	witness: a template in memory, without a directory
decoder_resume	a completion goes on whose environment has answered: no recipe asks for it yet
decoder_suspend	a completion waits for its environment: no recipe asks for it yet
env_replace	the seam itself: tests make the system fail
forward_hidden	witness: the last layer's rows, against transformers'
forward_logits	witness: logits, against transformers'
gemm_workspace_most	witness: the scratch of products, which their plans must not exceed
grid_text	witness: a screen as text
layout_find	witness: a tensor by its name
member_state_name	witness: the state of a session's member
objective_at	witness: every row of the objectives is tested
refresh_bytes	witness: memory that a device without room apart does not take
row_slope	objective-check: a term of a whole row, in double
row_value	objective-check: the same
rpc_stream_queued	witness: bytes that a peer has not taken
scores_run	witness: one sequence in a forward of its own, whose bits a batch must have
trainee_freeze	tensors that keep their values: no recipe asks for them yet
transport_carries	witness: a peer that NCCL serves
updates_workspaces	witness: live changes take no memory
TABLE

[[ -e CMakeCache.txt ]] || {
    echo "$PWD is no build directory: ./dev build makes one"
    exit 1
}
root=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' CMakeCache.txt)
symbols()
{
    local object source
    printf '%s\n' "${KNOWN[@]}" | sed 's/\t.*//; s/^/K /'
    find CMakeFiles/rlhf*.dir -path '*/CMakeFiles/rlhfd_proto.dir' -prune -o -name '*.o' -print | sort | while read -r object; do
        source=${object#*.dir/} source=${source%.o}
        [[ -e $root/$source ]] || continue # of a file that was renamed since
        readelf -rW "$object" | awk '$3 ~ /^R_/ { sub(/@.*/, "", $5); print "U", $5 }' | sort -u
        # nvcc writes a kernel's stub beside it.
        nm --defined-only --extern-only "$object" |
            awk -v source="$source" '$2 ~ /^[A-Z]$/ && $3 !~ /__device_stub__/ { print "D", $3, source }'
    done
}

symbols | awk '
    $1 == "K" { known[$2] = 1 }
    $1 == "U" { used[$2] = 1 }
    $1 == "D" { at[$2] = $3 }
    END {
        for (name in at)
            if (!(name in used) && !(name in known)) {
                print at[name] ": " name " has no caller outside tests"
                bad = 1
            }
        for (name in known)
            if (name in used || !(name in at)) {
                print "tests/lint/unused.sh: " name (name in used ? " has a caller" : " is gone") ": its row goes, too"
                bad = 1
            }
        exit bad
    }' | sort
