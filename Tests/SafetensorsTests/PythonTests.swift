import Foundation
import Platform
import TestSupport
import Testing

@testable import Safetensors

/// The Python that the environment variable RETORT_PYTHON names.
enum Python {
  static let path = ProcessInfo.processInfo.environment["RETORT_PYTHON"]

  static func run(_ arguments: [String]) throws -> (status: Int32, output: String) {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path ?? Shared.nowhere)
    process.arguments = arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    try process.run()
    let output = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: output, as: UTF8.self))
  }

  /// Whether there is a Python that imports these modules.
  static func has(_ modules: String) -> Bool {
    guard let path, fileExists(path) else { return false }
    return (try? run(["-c", "import \(modules)"]).status) == 0
  }

  static let hasSafetensors = has("safetensors.numpy")
  static let hasTorch = has("torch, safetensors.torch")
}

@Suite("Beside Python")
struct PythonTests {
  let folder: Folder

  init() throws { folder = try Folder() }

  func run(_ script: String) throws {
    let (status, output) = try Python.run(["-c", script, folder.path])
    #expect(status == 0, "\(output)")
  }

  @Test(
    "safetensors reads what the writer wrote",
    .enabled(if: Python.hasSafetensors, "RETORT_PYTHON names no Python with safetensors and numpy"))
  func writerIsRead() throws {
    var writer = try SafetensorsWriter(
      folder["m.safetensors"],
      tensors: [
        TensorDeclaration("flag", .bool, [1]), TensorDeclaration("matrix é", .float32, [2, 3]),
        TensorDeclaration("half", .float16, [2]), TensorDeclaration("scalar", .int64, []),
        TensorDeclaration("none", .float32, [0, 4]),
      ])
    try [UInt8](repeating: 1, count: 1).withUnsafeBytes { try writer.append("flag", bytes: $0) }
    try writer.append("matrix é", floats: [1, 2, 3, 4, 5, 6.5])
    try writer.append("half", floats: [0.5, -2])
    try withUnsafeBytes(of: Int64(-3).littleEndian) { try writer.append("scalar", bytes: $0) }
    try writer.append("none", floats: [])
    try writer.finish()
    try run(
      """
      import sys
      from safetensors import safe_open
      with safe_open(sys.argv[1] + "/m.safetensors", "np") as f:
          assert f.metadata() == {"format": "pt"}, f.metadata()
          t = {k: f.get_tensor(k) for k in f.keys()}
      assert t["matrix é"].tolist() == [[1, 2, 3], [4, 5, 6.5]]
      assert t["half"].tolist() == [0.5, -2] and str(t["half"].dtype) == "float16"
      assert t["scalar"].shape == () and int(t["scalar"]) == -3
      assert t["none"].shape == (0, 4) and t["flag"].tolist() == [True]
      """)
  }

  @Test(
    "torch.save and the reader agree in both formats, byte for byte",
    .enabled(if: Python.hasTorch, "RETORT_PYTHON names no Python with torch and safetensors"))
  func torchIsRead() throws {
    try run(
      """
      import sys, torch
      from collections import OrderedDict
      from safetensors.torch import save_file
      torch.manual_seed(1)
      d = OrderedDict()
      for i in range(1500):
          d[f"layers.{i}.weight"] = torch.randn(1 + i % 7, 3)
      base = torch.randn(40, 30)
      d["base"] = base
      d["base.transposed"] = base.t()
      d["base.slice"] = base[3:20:2, 5:9]
      d["base.flat"] = base.view(-1)[7:]
      d["expanded"] = torch.arange(12).expand(5, 12)
      d["position_ids"] = torch.arange(512).expand((1, -1))
      d["parameter"] = torch.nn.Parameter(torch.randn(4, 4))
      d["scalar"] = torch.tensor(3)
      d["empty"] = torch.zeros(0, 3)
      d["permuted"] = torch.randn(2, 3, 4, 5).permute(3, 1, 0, 2)
      for t in (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
                torch.uint8, torch.bool):
          d[str(t)] = (torch.randn(6, 5) * 9).to(t)
      class M(torch.nn.Module):
          def __init__(self):
              super().__init__()
              self.a = torch.nn.Linear(5, 5)
              self.b = torch.nn.Linear(5, 5)
              self.b.weight = self.a.weight
      d.update({"m." + k: v for k, v in M().state_dict().items()})
      save_file({k: v.detach().clone().contiguous() for k, v in d.items()}, sys.argv[1] + "/expected.safetensors")
      for zip in (True, False):
          name = sys.argv[1] + ("/zip" if zip else "/legacy")
          torch.save(d, name + ".bin", _use_new_zipfile_serialization=zip)
          torch.save({"epoch": 3, "lr": 0.5, "state_dict": d, "note": None}, name + "-nested.bin",
                     _use_new_zipfile_serialization=zip)
          torch.save(dict(d), name + "-4.bin", _use_new_zipfile_serialization=zip, pickle_protocol=4)
          torch.save(M().state_dict(), name + "-module.bin", _use_new_zipfile_serialization=zip)
          torch.save(M(), name + "-code.bin", _use_new_zipfile_serialization=zip)
      """)
    let expected = try SafetensorsFile(folder["expected.safetensors"])
    for name in ["zip", "zip-nested", "zip-4", "legacy", "legacy-nested", "legacy-4"] {
      let file = try TorchFile(folder[name + ".bin"])
      #expect(file.names.count > 1500 && Set(file.names) == Set(expected.names), "\(name)")
      for tensor in file.names {
        let (ours, theirs) = (try file.tensor(tensor), try expected.tensor(tensor))
        #expect(
          ours.shape == theirs.shape && ours.dtype == theirs.dtype && ours.bytes.elementsEqual(theirs.bytes),
          "\(tensor) in \(name)")
      }
    }
    for name in ["zip", "legacy"] {
      #expect(try TorchFile(folder[name + "-module.bin"]).names == ["a.weight", "a.bias", "b.weight", "b.bias"])
      // A whole module is code, not weights.
      expectRefusal(saying: "__main__.M", "refused", "state_dict") { try TorchFile(folder[name + "-code.bin"]) }
    }
  }

  @Test(
    "parameters and tensors with attributes are read, and types that are not read do not keep others from it",
    .enabled(if: Python.hasTorch, "RETORT_PYTHON names no Python with torch and safetensors"),
    arguments: ["True", "False"])
  func attributes(zip: String) throws {
    try run(
      """
      import sys, torch
      from collections import OrderedDict
      p = torch.nn.Parameter(torch.tensor([[1., 2.], [3., 4.]])); p.sequence_parallel = True; p.tag = {"of": (1, "x")}
      p.size = torch.Size([3]); p.kind = torch.float16; p.where = torch.device("cpu"); p.names = {"a", "b"}
      t = torch.tensor([5., 6.]); t.note = "x"
      d = OrderedDict(p=p, q=torch.nn.Parameter(torch.ones(2)), t=t, u=torch.zeros(2, dtype=torch.complex64))
      if \(zip):
        d["f"] = torch.zeros(3, dtype=torch.float8_e4m3fn); d["w"] = torch.zeros(2, dtype=torch.uint16)
        d["s"] = torch.eye(2).to_sparse()
      d["last"] = torch.tensor([7.])
      torch.save({"model_state_dict": d}, sys.argv[1] + "/m.bin", _use_new_zipfile_serialization=\(zip))
      """)
    let file = try TorchFile(folder["m.bin"])
    #expect(try file.tensor("p").floats() == [1, 2, 3, 4] && file.tensor("q").floats() == [1, 1])
    #expect(try file.tensor("t").floats() == [5, 6] && file.tensor("last").floats() == [7])
    for name in file.names where !["p", "q", "t", "last"].contains(name) {
      #expect(throws: Never.self) { try file.describe(name) }
      expectRefusal(saying: name, "unknown dtype") { try file.tensor(name) }
    }
    #expect(file.names.count == (zip == "True" ? 8 : 5))
  }
}
