import Foundation
import Testing

/// A request to stop ends a run with 75 at whatever moment it comes.
@Suite(.serialized) struct SignalTests {
  /// Starts a run, sends a signal to one process as soon as that is ours, and says how the run ended.
  ///
  /// - Parameters:
  ///   - whom: a shell word for the processes that get the signal: `$job`, or `$last` for the last rank that started.
  ///   - moment: a condition in shell words that is waited for; `$p` is a process of the run.
  private func stop(
    _ command: Command, _ signal: String, to whom: String, ranks: Int, when moment: String, of arguments: String = "",
    environment: [String: String] = [:]
  ) throws -> Command.Result {
    try command.shell(
      """
      . "$0/launch/lib/common.sh"; . "$0/launch/lib/mpi.sh"; local_mpirun_flags \(max(ranks, 1))
      if [ \(ranks) -eq 0 ]; then "$RETORT" run toy/toy.yaml \(arguments) & else
        mpirun "${mpirun_flags[@]}" "$RETORT" run toy/toy.yaml \(arguments) &
      fi
      job=$!
      found=""
      for _ in $(seq 2000); do
        last=""; count=0; ready=0
        for p in $job $(cat /proc/$job/task/$job/children 2>/dev/null); do
          case $(readlink /proc/$p/exe) in *retort*) ;; *) continue ;; esac
          last=$p; count=$((count + 1))
          if \(moment); then ready=$((ready + 1)); fi
        done
        if [ $count -ge \(max(ranks, 1)) ] && [ $ready -eq $count ]; then found=yes; break; fi
        sleep 0.01
      done
      [ -n "$found" ] || { echo "the moment does not come" >&2; kill -KILL $job; exit 99; }
      kill -\(signal) \(whom)
      wait $job
      """, [Command.root], environment: environment, limit: 60)
  }

  /// The mask of signals that are held or taken has SIGUSR1 (bit 9) and SIGTERM (bit 14).
  private let isOurs = "grep -qE '^Sig(Blk|Cgt):.*[4-7c-f][2367abef]..$' /proc/$p/status"

  @Test(arguments: [("USR1", 0), ("TERM", 0), ("INT", 0)])
  func `a signal in the first moment ends a run of one process with 75`(signal: String, ranks: Int) throws {
    let command = try Command()
    try command.makeToy(steps: 100_000)
    // A background job of a shell has SIGINT ignored until the program takes it.
    let result = try stop(command, signal, to: "$job", ranks: ranks, when: isOurs)
    #expect(result.code == 75, "\(signal): \(result.code) \(result.said)")
    #expect(result.errors.components(separatedBy: "stopped on request").count == 2, "\(result.said)")
  }
}
