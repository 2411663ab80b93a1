import Platform
import Testing

@Suite struct NumberTextTests {
  @Test(arguments: [(999.5, "1,000"), (-1234.4, "-1,234"), (0x1p62, "4,611,686,018,427,387,904")])
  func `a number is grouped as the nearest whole one`(value: Double, text: String) {
    #expect(grouped(value) == text)
  }

  @Test(arguments: [
    (0x1p63, "9.223372036854776e+18"), (1e308, "1e+308"), (.infinity, "inf"), (-.infinity, "-inf"), (.nan, "nan"),
  ])
  func `a number without a whole one in 64 bits is written as it is`(value: Double, text: String) {
    #expect(grouped(value) == text)
  }
}
