// swift-tools-version:5.9
// edgeskin's core as a Swift package: the C++ sources beside this file, and the Swift API over them.
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
      publicHeadersPath: "swift/module",
      // The contract of edgeskin.h: no fused multiply-add.
      cxxSettings: [.unsafeFlags(["-ffp-contract=off", "-fvisibility=hidden"])]),
    .target(name: "Edgeskin", dependencies: ["CEdgeskin"], path: "swift/Edgeskin"),
  ],
  cxxLanguageStandard: .cxx17
)
