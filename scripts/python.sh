# Sourced by the scripts beside it: finds a Python that is new enough, and prints a script's own explanation.
python=
for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "${0##*/}: Python 3.11 or newer is needed, and none is on PATH (python3: $(python3 --version 2>&1 || true))" >&2
    exit 2
fi

# The comment at the head of scripts/$1.
explain() {
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "scripts/$1"
}
