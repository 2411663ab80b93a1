# Suppresses mpirun's banners after Retort's own messages. Sourced by bash scripts.
# shellcheck shell=bash

# drop_banners HELD: copies standard input to standard error, without the blocks in which mpirun reports a rank's exit
# code or MPI_Abort; those go to the file HELD. The last line of HELD is "said" if there was any other output. All other
# output of mpirun and the ranks passes immediately and in order.
drop_banners() {
  local held=$1 line="" code=0 block="" lines=0 known=no said=no tail="" fresh=yes
  local LC_ALL=C dashes
  dashes=$(printf -- '-%.0s' {1..74})
  pass() {
    said=yes
    printf '%s' "$1" >&2
  }
  while :; do
    code=0
    IFS= read -r -t 0.2 line || code=$?
    if [ "$code" -gt 128 ]; then
      # Half a line, such as a prompt, passes unless a block may begin with it.
      if [ -n "$line" ] && [ -z "$block" ] && [ "$line" != "${dashes:0:${#line}}" ]; then
        pass "$tail$line"
        tail="" fresh=no
      else
        tail+=$line
      fi
      continue
    fi
    line=$tail$line tail=""
    if [ "$code" -ne 0 ]; then break; fi
    if [ -n "$block" ]; then
      block+=$line$'\n' lines=$((lines + 1))
      if [ "$lines" -eq 1 ]; then
        case "$line" in
          "Primary job "*" terminated normally, but "*) known=yes ;;
          *" detected that one or more processes exited with non-zero status"*) known=yes ;;
          "MPI_ABORT was invoked on rank "*) known=yes ;;
          *) known=no ;;
        esac
      fi
      if [ "$known" = no ] || { [ "$line" != "$dashes" ] && [ "$lines" -gt 12 ]; }; then
        pass "$block"
        block=""
      elif [ "$line" = "$dashes" ]; then
        printf '%s' "$block" >>"$held"
        block=""
      fi
    elif [ "$fresh" = yes ] && [ "$line" = "$dashes" ]; then
      block=$line$'\n' lines=0 known=no
    elif [[ "$line" == *" sent help message help-mpi-api.txt / mpi-abort" ]]; then
      printf '%s\n' "$line" >>"$held"
      known=aggregate
    elif [ "$known" = aggregate ] && [[ "$line" == *'Set MCA parameter "orte_base_help_aggregate" to 0'* ]]; then
      printf '%s\n' "$line" >>"$held"
    else
      pass "$line"$'\n'
    fi
    fresh=yes
  done
  if [ -n "$block$line" ]; then pass "$block$line"; fi
  if [ "$said" = yes ]; then echo said >>"$held"; fi
}

# show_banners HELD CODE: prints the held blocks to standard error, unless the code is Retort's and there was a message.
show_banners() {
  local held=$1
  case "$2" in 1 | 2 | 3 | 4 | 5 | 6 | 7 | 75)
    if [ "$(tail -n 1 "$held")" = said ]; then return; fi
    ;;
  esac
  sed '$ { /^said$/d; }' "$held" >&2
}
