import Platform

/// Messages of a rank to itself, which bypass MPI, where a large one would block until it is received.
///
/// Messages with one tag are received in the order in which they were sent.
final class SelfMailbox {
  private var messages: [Int: [[UInt8]]] = [:]
  private var receivers: [Int: [MailboxReceive]] = [:]

  func send(_ bytes: UnsafeRawBufferPointer, tag: Int) throws {
    if var waiting = receivers[tag], !waiting.isEmpty {
      let receiver = waiting.removeFirst()
      receivers[tag] = waiting.isEmpty ? nil : waiting
      try receiver.fill(bytes)
    } else {
      messages[tag, default: []].append(Array(bytes))
    }
  }

  func receive(into buffer: UnsafeMutableRawBufferPointer, tag: Int) throws {
    try expect(into: buffer, tag: tag, keeping: nil).wait()
  }

  func expect(into buffer: UnsafeMutableRawBufferPointer, tag: Int, keeping: AnyObject?) throws -> PendingOperation {
    let receiver = MailboxReceive(buffer, tag: tag, keeping: keeping)
    if var waiting = messages[tag], !waiting.isEmpty {
      let message = waiting.removeFirst()
      messages[tag] = waiting.isEmpty ? nil : waiting
      try message.withUnsafeBytes { try receiver.fill($0) }
    } else {
      receivers[tag, default: []].append(receiver)
    }
    return receiver
  }
}

/// A receive from the own rank; complete after the matching send.
private final class MailboxReceive: PendingOperation {
  private let buffer: UnsafeMutableRawBufferPointer
  private let tag: Int
  private var keeping: AnyObject?

  init(_ buffer: UnsafeMutableRawBufferPointer, tag: Int, keeping: AnyObject?) {
    self.buffer = buffer
    self.tag = tag
    self.keeping = keeping
    super.init(isComplete: false)
  }

  func fill(_ bytes: UnsafeRawBufferPointer) throws {
    guard bytes.count == buffer.count else {
      throw RetortError(
        .unexpected, "a message of \(bytes.count) bytes came where \(buffer.count) were expected (tag \(tag))")
    }
    buffer.copyMemory(from: bytes)
    isComplete = true
    keeping = nil
  }

  override func wait() throws {
    // Only this rank could send it, so waiting would never end.
    guard isComplete else {
      throw RetortError(.unexpected, "a rank waits for a message to itself that it has not sent (tag \(tag))")
    }
  }
}
