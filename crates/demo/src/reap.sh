# Reads ids of processes, one a line. When its input ends it ends those processes, the youngest first, and then itself.
# The input ends when the demo says so, and also when the demo has died, however that came to pass.
trap '' HUP INT TERM
pids=
while read -r pid; do pids="$pid $pids"; done
for pid in $pids; do
  kill -TERM "$pid" 2>/dev/null || continue
  patience=100
  while kill -0 "$pid" 2>/dev/null; do
    patience=$((patience - 1))
    if [ "$patience" -eq 0 ]; then kill -KILL "$pid" 2>/dev/null; break; fi
    sleep 0.05
  done
done
