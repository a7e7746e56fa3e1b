# Makes or refreshes .venv. Sourced by ./run and ./test from the project's root; POSIX sh.
# setup [dev[,browser]]: with "dev", also what the tests need; with "browser", those in one as well. uv is used when it is there, never required.

say() { printf '%s\n' "$*" >&2; }

find_python() {
    for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11 python; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return 0
        fi
    done
    say "Patchbay needs Python 3.11 or newer, and none was found. Install one (Debian, Ubuntu: apt install python3"
    say "python3-venv), or name it: PYTHON=/path/to/python3.12 $0"
    return 1
}

make_venv() {
    if command -v uv >/dev/null 2>&1; then
        uv venv --quiet --clear --python "$1" .venv
    elif ! "$1" -c 'import venv, ensurepip' 2>/dev/null; then
        say "$1 has no venv module. On Debian and Ubuntu: apt install python3-venv (or python3.X-venv for that version)"
        return 1
    else
        "$1" -m venv --clear .venv
    fi
}

install_into_venv() {
    if command -v uv >/dev/null 2>&1; then
        uv pip install --quiet --python .venv/bin/python --constraint constraints.txt --editable "$1"
    else
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable "$1"
    fi
}

is_usable() { .venv/bin/python -c '' && { command -v uv >/dev/null || .venv/bin/python -c 'import pip'; }; } 2>/dev/null

stamp_name() { echo ".venv/installed-$(cat pyproject.toml setup.py constraints.txt patchbay/_native/digest.py patchbay/_native/*.h patchbay/_native/*.c | cksum | cut -d' ' -f1)"; }

# is_set_up . | .[dev] | .[dev,browser]: whether .venv has that already, as pyproject.toml and constraints.txt are now.
# Each has all of those before it.
is_set_up() {
    case $1 in
        .) enough='\.(\[.*\])?' ;;
        '.[dev]') enough='\.\[dev.*\]' ;;
        *) enough='\.\[dev,browser\]' ;;
    esac
    [ -f "$(stamp_name)" ] && grep -qxE "$enough" "$(stamp_name)" && .venv/bin/python -c '' 2>/dev/null
}

setup() {
    what=".${1:+[$1]}"
    if is_set_up "$what"; then
        return 0
    fi
    say "Setting up .venv (the first time this takes a minute) ..."
    if ! is_usable; then
        python=$(find_python) && make_venv "$python" || return 1
    fi
    install_into_venv "$what" || { say "The packages could not be installed; what went wrong is above."; return 1; }
    echo "$what" >>"$(stamp_name)"
}
