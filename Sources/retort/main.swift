import Platform
import Tensors

// From here on a crash reports itself.
Faults.install()
MemoryLimits.prepare()
StandardStreams.prepare()
// A request to stop is held until the command is known.
StopRequest.hold()

// Before anything else: OpenBLAS chooses its kernels when it is loaded, and only a restart can change them.
LinearAlgebraLibrary.restartWithBetterCoreTypeIfNeeded()
Program.run()
