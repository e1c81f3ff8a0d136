# What every check in this folder does: step NAME COMMAND… prints a line for it.
step() {
	local name=$1 out
	shift
	if out=$("$@" 2>&1); then echo "$name: ok"; else echo "$name: $(head -n 1 <<<"${out:-failed}")"; fi
}

# equal WANT COMMAND…: the command's output is exactly that.
equal() {
	local want=$1 got
	shift
	got=$("$@" 2>&1)
	[[ $got == "$want" ]] || { echo "got ${got//$'\n'/ }, want ${want//$'\n'/ }"; return 1; }
}

# says PATTERN COMMAND…: the command's output contains a match of the extended regular expression.
says() {
	local pattern=$1 got
	shift
	got=$("$@" 2>&1)
	grep -qE -- "$pattern" <<<"$got" || { echo "got ${got//$'\n'/ }, want $pattern"; return 1; }
}
