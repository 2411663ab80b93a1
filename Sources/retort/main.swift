import Platform
import Tensors

// Whatever ends this process from here on, it says a word.
Faults.install()
MemoryLimits.prepare()
StandardStreams.prepare()
// A request to stop that comes before the command is known waits for it.
StopRequest.hold()

// Before anything else: OpenBLAS chooses its kernels when it is loaded, and only a fresh start can change that.
LinearAlgebraLibrary.restartWithBetterCoreTypeIfNeeded()
Program.run()
