// swift-tools-version: 6.0
import PackageDescription

// The order of this table is the order of the house: a target imports only what stands above it.
// Tests/ArchitectureTests holds each target's imports against this file.
let kernels: [CSetting] = [
  // Kernels are optimised in debug builds too: a test that runs a model would otherwise take minutes.
  .unsafeFlags(["-O3", "-fno-math-errno", "-ffp-contract=fast", "-Wall"])
]

func library(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(name: name, dependencies: dependencies + ["TestSupport"])
}

let yams: Target.Dependency = .product(name: "Yams", package: "Yams")
let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
  name: "retort",
  products: [.executable(name: "retort", targets: ["retort"])],
  dependencies: [
    .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
    .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
  ],
  targets: [
    .systemLibrary(name: "CMPI", pkgConfig: "ompi-c", providers: [.apt(["libopenmpi-dev"])]),
    .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    .systemLibrary(name: "COneDNN", providers: [.apt(["libdnnl-dev"])]),
    .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .target(name: "CSystem"),
    .target(name: "CKernels", cSettings: kernels, linkerSettings: [.linkedLibrary("m")]),
    .target(name: "CFaults"),
    library("Platform", ["CCrypto", "CSystem", "CKernels", "CFaults"]),
    library("Tensors", ["COpenBLAS", "COneDNN", "CKernels", "Platform"]),
    library("Collectives", ["CMPI", "CSystem", "CKernels", "Platform"]),
    library("Autograd", ["Tensors", "CKernels", "Platform"]),
    library("Safetensors", ["Tensors", "CKernels", "Platform"]),
    library("Tokenizers", ["Platform"]),
    library("Datasets", ["Tokenizers", "Collectives", "Tensors", "Platform", "CZlib"]),
    library("Layers", ["Autograd", "Tensors"]),
    library("Models", ["Layers", "Autograd", "Datasets", "Safetensors", "Tensors", "Platform"]),
    library("Objectives", ["Models", "Layers", "Autograd", "Datasets", "Tensors", "CKernels", "Platform"]),
    library("Optimizers", ["Tensors", "CKernels", "Platform"]),
    library(
      "Teachers",
      ["Models", "Layers", "Objectives", "Autograd", "Datasets", "Collectives", "Tensors", "Platform", "CSystem"]),
    library(
      "Training",
      [
        "Teachers", "Optimizers", "Objectives", "Models", "Layers", "Datasets", "Collectives", "Autograd",
        "Safetensors", "Tensors", "CKernels", "Platform",
      ]),
    library("Planner", ["Objectives", "Models", "Safetensors", "Autograd", "Tensors", "Platform"]),
    library(
      "Chains",
      [
        yams, "Planner", "Training", "Teachers", "Optimizers", "Objectives", "Models", "Datasets", "Tokenizers",
        "Safetensors",
        "Collectives", "Tensors", "Platform",
      ]),
    library("Demo", ["Tensors", "Platform"]),
    library(
      "Benchmark",
      [
        "Training", "Teachers", "Optimizers", "Objectives", "Models", "Datasets", "Collectives", "Tensors", "Platform",
      ]),
    .executableTarget(
      name: "retort",
      dependencies: [
        argumentParser, "Benchmark", "Demo", "Chains", "Planner", "Training", "Objectives", "Models", "Datasets",
        "Tokenizers", "Safetensors",
        "Collectives", "Autograd", "Tensors", "Platform",
      ]),
    tests("ArchitectureTests", []),
    tests("AutogradTests", ["Autograd", "Tensors"]),
    tests("ChainsTests", ["Chains", "Training", "Objectives", "Collectives", "Planner", "Models", "Platform"]),
    tests("CKernelsTests", ["CKernels"]),
    // Runs the retort binary, which the build of the tests makes too.
    tests("CommandTests", ["Platform"]),
    tests("CollectivesTests", ["Collectives", "Platform", "CSystem"]),
    tests("DatasetsTests", ["Datasets", "Tokenizers", "Collectives", "Platform"]),
    tests("DemoTests", ["Demo", "Platform"]),
    tests(
      "ModelsTests", ["Models", "Layers", "Autograd", "Objectives", "Datasets", "Safetensors", "Tensors", "Platform"]),
    tests(
      "ObjectivesTests", ["Objectives", "Models", "Layers", "Autograd", "Datasets", "Tensors", "CKernels", "Platform"]),
    tests("OptimizersTests", ["Optimizers", "Tensors"]),
    tests("PlannerTests", ["Planner", "Models", "Platform"]),
    tests("PlatformTests", ["Platform", "CKernels"]),
    tests(
      "RankTests",
      [
        "Chains", "Training", "Teachers", "Datasets", "Tokenizers", "Models", "Optimizers", "Objectives",
        "Collectives", "Autograd", "Safetensors", "Tensors", "Platform",
      ]),
    tests("SafetensorsTests", ["Safetensors", "Tensors", "Platform"]),
    tests(
      "TeachersTests",
      [
        "Training", "Teachers", "Optimizers", "Objectives", "Models", "Datasets", "Collectives", "Tensors", "Platform",
      ]),
    tests("TensorsTests", ["Tensors", "CKernels"]),
    tests("TokenizersTests", ["Tokenizers", "Platform"]),
    tests(
      "TrainingTests",
      ["Training", "Teachers", "Optimizers", "Objectives", "Models", "Datasets", "Collectives", "Tensors", "Platform"]),
    // Damaged files of every kind that is read, against their readers; launch/fuzz runs it.
    .executableTarget(
      name: "fuzz",
      dependencies: [
        "Chains", "Planner", "Training", "Teachers", "Optimizers", "Objectives", "Models", "Datasets", "Tokenizers",
        "Safetensors", "Collectives", "Tensors", "Platform",
      ],
      path: "Tests/Fuzz"),
    .target(
      name: "TestSupport",
      dependencies: ["Objectives", "Models", "Datasets", "Safetensors", "Autograd", "Tensors", "Platform"],
      path: "Tests/Support"),
  ],
  swiftLanguageModes: [.v6]
)
