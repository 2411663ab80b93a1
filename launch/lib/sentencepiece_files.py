"""Writes SentencePiece's files: a precompiled_charsmap, and a model with it."""
import struct
import unicodedata

FREE = 1 << 31 | 0x55


def offset_bits(offset):
    """Bits 10-30 of a unit; an offset that is a multiple of 256 is stored divided by it, which bit 9 says."""
    if offset and offset % 256 == 0:
        return offset >> 8 << 10 | 1 << 9
    assert offset < 1 << 21
    return offset << 10


def compile_map(replacements):
    """The map of {characters: replacement}."""
    text, trie = b"", {}
    for characters, replacement in sorted(replacements.items()):
        node = trie
        for byte in characters.encode():
            node = node.setdefault(byte, {})
        node[0] = len(text)
        text += replacement.encode() + b"\0"
    units, taken, bases, lowest = [0] + [FREE] * 255, {0}, set(), 1
    pending = [(trie, 0)]
    while pending:
        node, position = pending.pop()
        base = lowest
        while base in bases or any(base ^ label in taken for label in node):
            base += 1
        bases.add(base)
        while base >= len(units):
            units += [FREE] * 256
        units[position] |= offset_bits(position ^ base) | (1 << 8 if 0 in node else 0)
        for label, child in node.items():
            taken.add(base ^ label)
            units[base ^ label] = label if label else 1 << 31 | child
            if label:
                pending.append((child, base ^ label))
        while lowest in bases or lowest in taken:
            lowest += 1
    packed = struct.pack(f"<{len(units)}I", *units)
    return struct.pack("<I", len(packed)) + packed + text


def nfkc_map():
    """Compatibility forms and composed letters, with SentencePiece's rules for white space and control characters."""
    replacements = {}
    for code in range(1, 0x30000):
        character = chr(code)
        if 0xD800 <= code < 0xE000 or 0xAC00 <= code < 0xD7A4 or not unicodedata.category(character).strip("C"):
            continue
        normal = unicodedata.normalize("NFKC", character)
        if normal != character:
            replacements[character] = normal
        parts = unicodedata.normalize("NFD", character)
        if parts not in (character, normal) and len(parts) < 4:
            replacements[parts] = normal
    for code in [*range(1, 9), 0x0B, *range(0x0E, 0x20), 0x7F, 0x8F, 0x9F]:
        replacements[chr(code)] = ""
    for code in [9, 10, 12, 13, 0x85, 0xA0, 0x1680, *range(0x2000, 0x2010), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF]:
        replacements[chr(code)] = " "
    return replacements


def number(value):
    """A varint of protobuf's wire format."""
    out = b""
    value &= (1 << 64) - 1
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(index, value):
    """A field of protobuf's wire format: an integer, a float, text or bytes."""
    if isinstance(value, int):
        return number(index << 3) + number(value)
    if isinstance(value, float):
        return number(index << 3 | 5) + struct.pack("<f", value)
    data = value.encode() if isinstance(value, str) else value
    return number(index << 3 | 2) + number(len(data)) + data


def sentencepiece_model(pieces, unknown, character_map=b"", kind=1):
    """A model file of SentencePiece, a unigram one by default; pieces are (text, score, type)."""
    out = b"".join(field(1, field(1, text) + field(2, float(score)) + field(3, type)) for text, score, type in pieces)
    return out + field(2, field(3, kind) + field(40, unknown)) + field(3, field(2, character_map) if character_map else b"")
