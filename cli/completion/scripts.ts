/** What the shells load. They know nothing of ply: each asks `ply completion candidates PROGRAM WORD…` what could stand in the last word's place. */

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** First lines that are no candidates. */
export const FILES = ':files';

/** Without the bash-completion package too. Readline splits words at : and =, which names and options have: the words here are those between blanks. */
const BASH = String.raw`# bash completion for ply, plyd and plyfs: ply completion bash
_ply() {
  local line=${'$'}{COMP_LINE:0:COMP_POINT} current prefix candidate
  local -a words
  read -ra words <<<"$line"
  [[ $line == *[[:blank:]] ]] && words+=('')
  current=${'$'}{words[${'$'}{#words[@]} - 1]}
  prefix=${'$'}{current%"${'$'}{current##*[:=]}"}
  COMPREPLY=()
  compopt -o nospace 2>/dev/null
  while IFS=$'\t' read -r candidate _; do
    if [[ $candidate == ${FILES} ]]; then
      compopt +o nospace -o filenames -o default 2>/dev/null
      COMPREPLY=()
      return
    fi
    case $candidate in *= | *,) ;; *) candidate+=' ' ;; esac
    COMPREPLY+=("${'$'}{candidate#"$prefix"}")
  done < <(ply completion candidates "${'$'}{words[0]##*/}" "${'$'}{words[@]:1}" 2>/dev/null)
}
complete -F _ply ply plyd plyfs
`;

const ZSH = String.raw`#compdef ply plyd plyfs
# zsh completion for ply, plyd and plyfs: ply completion zsh
_ply() {
  local line candidate
  local -a candidates shown open
  for line in "${'$'}{(@f)$(ply completion candidates "${'$'}{words[1]:t}" "${'$'}{(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    candidate=${'$'}{line%%$'\t'*}
    case $candidate in
      '') ;;
      ${FILES}) _files; return ;;
      *= | *,) open+=("$candidate") ;;
      *) candidates+=("$candidate"); shown+=("${'$'}{line/$'\t'/  }") ;;
    esac
  done
  (( ${'$'}{#open} )) && compadd -S '' -a open
  (( ${'$'}{#candidates} )) && compadd -l -d shown -a candidates
}
if [[ ${'$'}funcstack[1] == _ply ]]; then _ply "$@"; else compdef _ply ply plyd plyfs; fi
`;

const FISH = String.raw`# fish completion for ply, plyd and plyfs: ply completion fish
function __ply_candidates
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l found (ply completion candidates (string replace -r '.*/' '' -- $words[1]) $words[2..-1] "$current" 2>/dev/null)
    if contains -- ${FILES} $found
        __fish_complete_path "$current"
    else if set -q found[1]
        printf '%s\n' $found
    end
end
for program in ply plyd plyfs
    complete -c $program -f -a '(__ply_candidates)'
end
`;

export function completionScript(shell: Shell): string {
  return { bash: BASH, zsh: ZSH, fish: FISH }[shell];
}
