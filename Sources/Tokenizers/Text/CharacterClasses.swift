// The reference tokenizers' classes of punctuation, marks and control characters. Their tables are from Unicode 8
// (classes) and Unicode 9 (decompositions), Swift's are newer; a character's age tells whether the reference knows it,
// and the few characters whose class changed after Unicode 8 are listed individually.

/// Whether `scalar` existed in a version of Unicode.
private func existed(_ scalar: Unicode.Scalar, inUnicode major: Int) -> Bool {
  guard let age = scalar.properties.age else { return false }
  return age.major <= major
}

/// ASCII punctuation and symbols, or general category P.
func isBERTPunctuation(_ scalar: Unicode.Scalar) -> Bool {
  if let byte = UInt8(exactly: scalar.value), byte < 0x80 { return isASCIIPunctuation(byte) }
  switch scalar.properties.generalCategory {
  case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
    .finalPunctuation, .otherPunctuation:
    return existed(scalar, inUnicode: 8)
  case .otherSymbol: return scalar.value == 0x166d  // was Po
  case .nonspacingMark: return scalar.value == 0x111c9  // was Po
  default: return false
  }
}

func isASCIIPunctuation(_ byte: UInt8) -> Bool {
  switch byte {
  case 0x21...0x2f, 0x3a...0x40, 0x5b...0x60, 0x7b...0x7e: true
  default: false
  }
}

/// General category Mn: the accents that are stripped.
func isStrippedMark(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.properties.generalCategory {
  case .nonspacingMark:
    switch scalar.value {
    case 0x1885, 0x1886, 0xa9bd, 0x111c9: return false  // were Lo, Lo, Mc and Po
    default: return existed(scalar, inUnicode: 8)
    }
  case .spacingMark: return scalar.value == 0x1734 || scalar.value == 0x1171e  // were Mn
  default: return false
  }
}

/// Whether cleaning removes it: NUL, U+FFFD, and the categories Cc, Cf and Co except tab and line ends.
func isRemovedByCleaning(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.value {
  case 0x09, 0x0a, 0x0d: return false
  case 0, 0xfffd: return true
  default:
    switch scalar.properties.generalCategory {
    case .control, .format, .privateUse: return existed(scalar, inUnicode: 8)
    default: return false
    }
  }
}

/// The CJK blocks in which BERT treats each character as a word.
func isChineseCharacter(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.value {
  case 0x4e00...0x9fff, 0x3400...0x4dbf, 0xf900...0xfaff, 0x20000...0x2a6df, 0x2a700...0x2b73f, 0x2b740...0x2b81f,
    0x2b920...0x2ceaf, 0x2f800...0x2fa1f:
    true
  default: false
  }
}

/// Whether the reference's tables can decompose or reorder `scalar`.
func isKnownToDecomposition(_ scalar: Unicode.Scalar) -> Bool { existed(scalar, inUnicode: 9) }

/// Ranges in which no character decomposes, combines or is a mark: those common in English text, and CJK.
func isInertUnderDecomposition(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.value {
  case 0...0xbf, 0x2010...0x203f, 0x3400...0x4dbf, 0x4e00...0x9fff, 0x1f000...0x1faff: true
  default: false
  }
}

/// Unicode's White_Space, which has not changed in many versions; Swift's property is slow.
func isWhiteSpace(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.value {
  case 0x09...0x0d, 0x20, 0x85, 0xa0, 0x1680, 0x2000...0x200a, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000: true
  default: false
  }
}

/// Scripts without upper and lower case: Hangul letters, CJK, Hangul syllables.
func isCaseless(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.value {
  case 0x1100...0x11ff, 0x2e80...0xa63f, 0xac00...0xd7ff, 0xf900...0xfaff, 0x1f300...0x1faff: true
  default: false
  }
}

/// A word character, `\w` in regular expressions.
func isWordCharacter(_ scalar: Unicode.Scalar) -> Bool {
  if isNewToExpressions(scalar) { return false }
  let properties = scalar.properties
  switch properties.generalCategory {
  case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: return true
  default: return properties.isAlphabetic || properties.isJoinControl
  }
}

/// General category N: digits and numbers of every script, in Swift's Unicode version.
func isNumeric(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.properties.generalCategory {
  case .decimalNumber, .letterNumber, .otherNumber: true
  default: false
  }
}

/// General category M in the reference's tables.
func isCombiningMark(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.value {
  case 0x1cf2, 0x1cf3: return true  // were Mc
  case 0x111c9: return false  // was Po
  default: break
  }
  switch scalar.properties.generalCategory {
  case .nonspacingMark, .spacingMark, .enclosingMark: return existed(scalar, inUnicode: 9)
  default: return false
  }
}

/// Whether a letter, digit or mark is newer than Unicode 16, whose tables the reference's regular expressions use.
func isNewToExpressions(_ scalar: Unicode.Scalar) -> Bool {
  // The age property is slow, so it is checked only in the few blocks that Unicode 17 extended.
  switch scalar.value {
  case 0x88f...0xdff, 0x1acb...0x1aff, 0xa7cd...0xa7ff, 0x10940...: !existed(scalar, inUnicode: 16)
  default: false
  }
}
