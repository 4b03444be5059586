// swift-tools-version:5.9
// edgeskin's core as a Swift package: the C++ sources beside this file, and the Swift API over them.
// No unsafe flags: what the core asks of the compiler stands in src/exact.h, so that packages can depend on a version.
import PackageDescription

let package = Package(
  name: "Edgeskin",
  platforms: [.iOS(.v15), .macOS(.v12)],
  products: [.library(name: "Edgeskin", targets: ["Edgeskin"])],
  targets: [
    .target(
      name: "CEdgeskin",
      path: ".",
      sources: ["src"],
      publicHeadersPath: "swift/module"),
    .target(name: "Edgeskin", dependencies: ["CEdgeskin"], path: "swift/Edgeskin"),
  ],
  cxxLanguageStandard: .cxx17
)
