import CKernels
import COneDNN
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// Products of bf16 matrices on oneDNN, prepared once per shape (0.2 ms, 0.1 MB of code) and kept.
enum BF16Products {
  /// The shapes and options that a product is prepared for.
  private struct Key: Hashable {
    let (m, n, k): (Int, Int, Int)
    let (transposeA, transposeB, accumulate): (Bool, Bool, Bool)
    let packedB: Bool
    let (hasBias, rounds): (Bool, Bool)
    let activation: UInt32
    let threads: Int
  }

  /// A prepared product. Only one thread may use it at a time, since it holds the addresses of its matrices.
  private final class Product: @unchecked Sendable {
    var handle: onednn_product
    init(_ handle: onednn_product) { self.handle = handle }
    deinit { onednn_free_product(&handle) }
  }

  private struct Idle {
    var products: [Product] = []
    var lastUse = 0
  }

  private struct State {
    var idle: [Key: Idle] = [:]
    /// Shapes without a fast oneDNN product on this CPU.
    var refused: Set<Key> = []
    var clock = 0
  }

  private struct Engine: @unchecked Sendable {
    let handle: dnnl_engine_t?

    init() {
      handle = onednn_make_engine()
      // This type caches products; the library's own cache would keep those that are dropped here.
      dnnl_set_primitive_cache_capacity(0)
    }
  }

  private static let engine = Engine()
  private static let state = Mutex(State())
  /// The most shapes that are kept, about 50 MB.
  private static let mostShapes = 512

  /// OpenMP stores the number of threads per calling thread. The function is looked up by name, since OpenMP is
  /// oneDNN's dependency and not this program's.
  private static let setOpenMPThreads = dlsym(nil, "omp_set_num_threads").map {
    unsafeBitCast($0, to: (@convention(c) (CInt) -> Void).self)
  }

  /// Whether oneDNN uses the CPU's bf16 instructions; `ONEDNN_MAX_CPU_ISA` can disable them.
  static let areNative: Bool = {
    let needed = dnnl_cpu_isa_avx512_core_bf16.rawValue
    guard dnnl_get_effective_cpu_isa().rawValue & needed == needed else { return false }
    let (a, b) = (Tensor.zeros([32, 32]).bf16(), Tensor.zeros([32, 32]).bf16())
    return multiply(a, transposeA: false, b, transposeB: false, into: .zeros([32, 32]), accumulate: false)
  }()

  /// oneDNN's constant for an activation.
  private static func kind(_ activation: rtk_activation?) -> dnnl_alg_kind_t {
    switch activation {
    case RTK_GELU?: dnnl_eltwise_gelu_erf
    case RTK_GELU_TANH?: dnnl_eltwise_gelu_tanh
    case RTK_RELU?: dnnl_eltwise_relu
    case RTK_TANH?: dnnl_eltwise_tanh
    case RTK_SILU?: dnnl_eltwise_swish
    case RTK_SIGMOID?: dnnl_eltwise_logistic
    default: dnnl_alg_kind_undef
    }
  }

  /// Whether oneDNN has products with a packed weight [n, k], for few rows and for many.
  static func packs(n: Int, k: Int) -> Bool {
    let threads = ThreadTeam.size
    setOpenMPThreads?(CInt(threads))
    return [16, 512].allSatisfy { rows in
      let key = Key(
        m: rows, n: n, k: k, transposeA: false, transposeB: true, accumulate: false, packedB: true, hasBias: false,
        rounds: false, activation: kind(nil).rawValue, threads: threads)
      guard let product = take(key) else { return false }
      give(product, key)
      return true
    }
  }

  /// C = f(A·B + bias), or C += A·B, for matching shapes; C is float32 or bf16. Returns false and leaves C unchanged if
  /// oneDNN has no product for them.
  static func multiply(
    _ a: Tensor, transposeA: Bool, _ b: Tensor, transposeB: Bool, into c: Tensor, accumulate: Bool,
    bias: Tensor? = nil, activation: rtk_activation? = nil
  ) -> Bool {
    let threads = ThreadTeam.size
    setOpenMPThreads?(CInt(threads))
    let key = Key(
      m: c.rows, n: c.columns, k: transposeA ? a.rows : a.columns, transposeA: transposeA, transposeB: transposeB,
      accumulate: accumulate, packedB: b.layout == .packed, hasBias: bias != nil, rounds: c.dtype == .bfloat16,
      activation: kind(activation).rawValue, threads: threads)
    precondition(b.dtype == .bfloat16, "a \(b.dtype.rawValue) tensor was used as BF16")
    precondition(b.layout == .rows || transposeB, "a packed weight \(b.shape) is read as its transpose")
    guard let product = take(key) else { return false }
    let scratch = Storage(bytes: product.handle.scratch_bytes)
    let done = onednn_run(
      &product.handle, a.bf16Words, b.storage.address + b.byteOffset, bias?.floats,
      c.storage.address + c.byteOffset, scratch.address)
    precondition(done, "oneDNN could not run a prepared product of \(a.shape) and \(b.shape)")
    give(product, key)
    return true
  }

  private static func take(_ key: Key) -> Product? {
    let (kept, isRefused) = state.withLock { state -> (Product?, Bool) in
      (state.idle[key]?.products.popLast(), state.refused.contains(key))
    }
    if isRefused { return nil }
    if let kept { return kept }
    var problem = onednn_problem(
      m: Int64(key.m), n: Int64(key.n), k: Int64(key.k), transpose_a: key.transposeA, transpose_b: key.transposeB,
      packed_b: key.packedB, accumulate: key.accumulate, has_bias: key.hasBias, rounds_c: key.rounds,
      activation: dnnl_alg_kind_t(key.activation))
    var handle = onednn_product()
    guard let engine = engine.handle, onednn_make_product(&handle, &problem, engine) else {
      state.withLock { _ = $0.refused.insert(key) }
      return nil
    }
    return Product(handle)
  }

  private static func give(_ product: Product, _ key: Key) {
    state.withLock { state in
      state.clock += 1
      state.idle[key, default: Idle()].products.append(product)
      state.idle[key]?.lastUse = state.clock
      guard state.idle.count > mostShapes else { return }
      // Drop the least recently used quarter at once, so that sorting is rare.
      for old in state.idle.sorted(by: { $0.value.lastUse < $1.value.lastUse }).prefix(mostShapes / 4) {
        state.idle[old.key] = nil
      }
    }
  }
}
