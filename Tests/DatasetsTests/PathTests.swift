import Platform
import Testing

@Suite struct PathTests {
  @Test(arguments: [
    ("a/b", "a", "b"), ("a", "", "a"), ("/a", "/", "a"), ("/", "/", "/"), ("a/b/", "a", "b"), ("a//b", "a", "b"),
    ("./x/yz.txt", "./x", "yz.txt"), ("", "", ""), ("//", "/", "/"),
  ])
  func `a path is a directory and a name`(path: String, parent: String, name: String) {
    #expect(parentDirectory(of: path) == parent)
    #expect(fileName(of: path) == name)
  }
}
