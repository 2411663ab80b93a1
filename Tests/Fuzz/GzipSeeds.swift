import Foundation

/// Small data files in gzip's format.
enum GzipSeeds {
  /// With a name in its header; of two members and padding; of UTF-16 text; of 3,000 equal rows.
  static let all = [
    "H4sICAAAAAAC/2RhdGEudHN2ACtOzStJzUtO5cxJTErN4SrJSFUoyixLLeI04FIqKs0rVuI0RAgqgESAMqMCowKDUAAAj3SjWMwCAAA=",
    "H4sIAAAAAAAC/ytJrSjhzElMSs3hSuSs4AIAn6UGmg8AAAAfiwgAAAAAAAL/S+Ks5AIAuvCSoQQAAAAAAAAAAAAAAA==",
    "H4sIAAAAAAAC//v/r4QhlaGCoYSBkyGHIZEhCcjLYeAC8jOALE4GQyC7iCGToQzIKwLyDYB8AF7J7sY0AAAA",
    "H4sIAAAAAAAC/+3DoQ0AIAwAMD2u4aWRzE1OcD5nYNqkU3ei81SvjK2qqqqqqqqqqqqqqt8/HNE93OsuAAA=",
  ].map { Data(base64Encoded: $0).map { Array($0) } ?? [] }
}
