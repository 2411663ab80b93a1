/// A user's text in quotes for a message, with line breaks and control characters escaped. A text longer than `limit`
/// characters is cut, and its length is added. The time depends on `limit`, not on the length of the text.
package func quoted(_ text: some StringProtocol, limit: Int = 80) -> String {
  var out = "\""
  var kept = 0
  for scalar in text.unicodeScalars {
    if kept == limit { return out + "…\" (\(grouped(text.utf8.count)) bytes)" }
    kept += 1
    switch scalar {
    case "\n": out += "\\n"
    case "\r": out += "\\r"
    case "\t": out += "\\t"
    default:
      if scalar.value < 0x20 || scalar.value == 0x7f {
        out += "\\u{\(String(scalar.value, radix: 16))}"
      } else {
        out.unicodeScalars.append(scalar)
      }
    }
  }
  return out + "\""
}

/// Names in quotes, separated by commas; a longer list is cut after `most` names, and its count is added.
package func quoted(list names: some Collection<String>, most: Int = 30) -> String {
  if names.isEmpty { return "none" }
  let shown = names.prefix(most).map { quoted($0, limit: 60) }.joined(separator: ", ")
  return names.count > most ? shown + ", … (\(names.count) in all)" : shown
}

/// Words quoted for a shell, so that different lists of words give different texts.
package func shellText(_ words: some Sequence<String>) -> String {
  let plain = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%^")
  return words.map { word in
    !word.isEmpty && word.allSatisfy(plain.contains)
      ? word
      : "'"
        + word.split(
          separator: "'", omittingEmptySubsequences: false
        ).joined(separator: "'\\''") + "'"
  }.joined(separator: " ")
}
