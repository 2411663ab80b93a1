import Platform
import Tensors

StandardStreams.prepare()

// Before anything else: OpenBLAS chooses its kernels when it is loaded, and only a fresh start can change that.
LinearAlgebraLibrary.restartWithBetterCoreTypeIfNeeded()
Program.run()
