#if canImport(Glibc)
  import Glibc
#endif

extension Double {
  /// log of the number, natural.
  var logarithm: Double { log(self) }
  /// cos of the number, in radians.
  var cosine: Double { cos(self) }
}
