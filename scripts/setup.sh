# Makes .venv ready: the pinned dependencies and the project, editable. Sourced by scripts/run and scripts/test:
#
#     . "$(dirname "$0")/setup.sh"; ringsim_setup [test]
#
# Afterwards $root is the checkout, the working directory is unchanged, and "$root/.venv/bin" holds the commands.
#
# - Nothing to do is the usual case and costs a few milliseconds: a stamp in .venv holds a hash of what was installed.
# - The stamp is written last, so an interrupted set-up is simply taken up again.
# - One at a time: the slow path holds a lock on the checkout's folder, so two started at once do not break each other.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

_die() {
    printf 'ringsim: %s\n' "$1" >&2
    exit "${2:-1}"
}

# What the installed state depends on. The checkout's path is in it since scripts in .venv/bin hold absolute paths.
_setup_hash() {
    { printf '%s\n' "$root"; cat "$root/pyproject.toml" "$root/scripts/constraints.txt" "$root/scripts/setup.sh"; } | sha256sum
}

# The first Python that the pins fit. A name on the PATH may be a shim without an interpreter behind it: run it.
_find_python() {
    local name
    for name in ${RINGSIM_PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14 python; do
        if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' >/dev/null 2>&1; then
            command -v "$name"
            return
        fi
    done
    return 1
}

# Whether .venv was made for this place and runs.
_venv_whole() {
    grep -qF "$root/.venv" "$root/.venv/bin/activate" 2>/dev/null && "$root/.venv/bin/python" -m pip --version >/dev/null 2>&1
}

_install() {
    local extra=$1 python target
    if ! _venv_whole; then
        python=$(_find_python) || _die "needs Python 3.11 to 3.14 and found none ($(python3 --version 2>&1 || echo 'no python3')); install one, or name one in RINGSIM_PYTHON"
        "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 \
            || _die "$python cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv"
        printf 'ringsim: setting up .venv with %s (once, less than a minute)\n' "$("$python" --version)" >&2
        rm -rf "$root/.venv"
        "$python" -m venv "$root/.venv" >&2 || _die "could not make $root/.venv"
    else
        printf 'ringsim: bringing .venv up to date\n' >&2
    fi
    target=.
    [ "$extra" = test ] && target=".[test]"
    # Both variables: an older pip takes the first for the isolated build too, a newer one wants it said apart. They are
    # split at spaces, so the path is relative.
    (cd "$root" && PIP_CONSTRAINT=scripts/constraints.txt PIP_BUILD_CONSTRAINT=scripts/constraints.txt \
        .venv/bin/python -m pip install -qq --disable-pip-version-check --no-input -e "$target" >&2) \
        || _die "the dependencies could not be installed; pip's words stand above"
}

# ringsim_setup [test]: with `test`, the tools of the tests as well.
ringsim_setup() {
    local extra=${1:-run} want lock
    [ "$(uname -s)" = Linux ] || _die "runs on Linux only: it needs /dev/shm, pidfds and process-shared memory with Linux's rules" 2
    want=$(_setup_hash)
    # An environment for the tests serves a run as well.
    if [ "$(cat "$root/.venv/.ringsim-test" 2>/dev/null)" = "$want" ]; then return; fi
    if [ "$extra" = run ] && [ "$(cat "$root/.venv/.ringsim-run" 2>/dev/null)" = "$want" ]; then return; fi
    exec {lock}<"$root"
    if ! flock --nonblock "$lock"; then
        printf 'ringsim: waiting for another set-up of this checkout\n' >&2
        flock "$lock"
    fi
    if [ "$(cat "$root/.venv/.ringsim-$extra" 2>/dev/null)" != "$want" ]; then
        _install "$extra"
        printf '%s\n' "$want" >"$root/.venv/.ringsim-$extra"
    fi
    exec {lock}<&-
}
