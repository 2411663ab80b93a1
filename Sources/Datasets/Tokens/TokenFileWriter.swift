import Platform

/// Writes a token file, or the same image in memory.
final class TokenFileWriter {
  private var header: TokenFileHeader
  private let file: AtomicFile?
  private var image: [UInt8] = []
  private var hashes: [UInt64] = []
  private var offsets: [Int64] = [0]
  private var lengths: [Int32] = []
  private var labels: [Int32] = []
  private var pages: [UInt32] = []
  private var page = Checksum()
  private var pageFill = 0

  /// Starts a file that is renamed to `path` when it is complete, or an image in memory if `path` is nil.
  ///
  /// - Parameter window: the tokens of a window of a longer text; 0: every text is one sequence.
  init(key: String, targets: RowTargets = .label, window: Int = 0, path: String?) throws {
    header = TokenFileHeader(key: key)
    (header.targets, header.window) = (targets, window)
    file = try path.map { try AtomicFile($0, permissions: 0o600) }
    try put([UInt8](repeating: 0, count: TokenFileHeader.byteCount))
  }

  func append(_ rows: TokenRows) throws {
    try write(rows.payload)
    var end = header.payloadWords
    for (row, length) in rows.lengths.enumerated() {
      end += Int(length) * (rows.hasTypes[row] ? 2 : 1)
      let words = header.targets.words(length: Int(length))
      if header.targets == .tokens {
        let place = end - header.payloadWords
        header.largestLabel = max(header.largestLabel, Int(rows.payload[place..<place + words].max() ?? -1))
      }
      end += words
      offsets.append(Int64(end))
      header.totalTokens += Int(length)
      header.longest = max(header.longest, Int(length))
    }
    hashes += rows.hashes
    lengths += rows.lengths
    labels += rows.labels
    header.payloadWords = end
    header.count += rows.lengths.count
    if Int(rows.largestID) > header.largestID {
      header.largestID = Int(rows.largestID)
      header.largestIDLine = Int(rows.largestIDLine)
    }
    if Int(rows.largestType) > header.largestType {
      header.largestType = Int(rows.largestType)
      header.largestTypeLine = Int(rows.largestTypeLine)
    }
    header.unlabelledRows += rows.labels.count { $0 < 0 }
    if header.targets == .label { header.largestLabel = max(header.largestLabel, Int(rows.labels.max() ?? -1)) }
    if header.cutRows == 0 { header.firstCutLine = Int(rows.firstCutLine) }
    header.cutRows += Int(rows.cutRows)
  }

  /// Completes the file and renames it to its path; returns the image if there is no file.
  func finish() throws -> [UInt8]? {
    try write([UInt8](repeating: 0, count: header.padding))
    try write(hashes)
    try write(offsets)
    try write(lengths)
    try write(labels)
    if pageFill > 0 { closePage() }
    header.pagesChecksum = pages.withUnsafeBytes { Checksum(of: $0).value }
    try put(pages)
    let head = header.bytes
    guard let file else {
      image.replaceSubrange(0..<head.count, with: head)
      return image
    }
    try head.withUnsafeBytes { try file.write($0, at: 0) }
    try file.commit()
    return nil
  }

  /// Appends to the sections and updates the checksums of their pages.
  private func write<T: BitwiseCopyable>(_ values: [T]) throws {
    try put(values)
    values.withUnsafeBytes { bytes in
      var rest = bytes
      while !rest.isEmpty {
        let part = rest.prefix(TokenFileHeader.pageBytes - pageFill)
        page.update(UnsafeRawBufferPointer(rebasing: part))
        pageFill += part.count
        if pageFill == TokenFileHeader.pageBytes { closePage() }
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(part.count))
      }
    }
  }

  private func closePage() {
    pages.append(page.value)
    page = Checksum()
    pageFill = 0
  }

  private func put<T: BitwiseCopyable>(_ values: [T]) throws {
    try values.withUnsafeBytes { bytes in
      if let file { try file.write(bytes) } else { image.append(contentsOf: bytes) }
    }
  }
}
